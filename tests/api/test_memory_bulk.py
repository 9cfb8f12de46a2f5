"""Operations on many memories: purge, change, undo, retention, export and import."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_events import listed
from tests.api.test_memory import add, search
from tests.conftest import RunningServer


def remember(api: httpx.Client, count: int) -> list[str]:
    """So many facts; every other one is of the kind "even"."""
    made = [
        add(api, f"fact number {n}", metadata={"n": n, "kind": "odd" if n % 2 else "even"}, name=f"fact {n}")
        for n in range(count)
    ]
    return [each["id"] for each in made]


def state(api: httpx.Client) -> list[dict[str, Any]]:
    """Everything of the workspace, without how often it was used."""
    lines = [json.loads(line) for line in api.get("/v1/memory/export").text.splitlines()]
    for line in lines:
        if "entity" in line:
            line["entity"] |= {"accessed": 0, "last_accessed": None}
    return lines


def post(api: httpx.Client, path: str, body: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/memory/{path}", json=body or {}, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.requirement("MEM-7")
def test_a_purge_takes_what_is_meant_and_can_be_undone(api: httpx.Client) -> None:
    ids = remember(api, 8)
    api.post("/v1/memory/relations", json={"source": ids[0], "type": "near", "target": ids[1]}).raise_for_status()
    before = state(api)
    even = {"where": {"kind": "even"}}
    preview = post(api, "purge", even)
    assert (preview["count"], preview["dry_run"], preview["can_be_undone"]) == (4, True, True)
    assert all(text.startswith("fact ") for text in preview["examples"])
    assert state(api) == before
    assert post(api, "purge", {**even, "dry_run": False})["count"] == 4
    assert {m["entity"]["metadata"]["kind"] for m in search(api, "fact", limit=20)} == {"odd"}
    assert api.get(f"/v1/memory/{ids[1]}").json()["relations"] == []
    shown = post(api, "undo")
    assert (shown["operation"], shown["by"], shown["left"], shown["done"]) == ("purge", "founder:admin", 4, 0)
    assert post(api, "undo", {"dry_run": False})["done"] == 4
    assert state(api) == before
    assert len(search(api, "fact", limit=20, mode="vector")) == 8
    assert post(api, "undo")["operation"] is None
    assert api.post("/v1/memory/undo", json={"dry_run": False}).status_code == 404
    (told,) = listed(api, type="memory_purged")
    assert told["payload"]["count_removed"] == 4
    (undone,) = listed(api, type="memories_changed")
    assert undone["payload"].pop("origin")["peer"]
    assert undone["payload"] == {"operation": "undo", "scope": "workspace", "count": 4}


@pytest.mark.requirement("MEM-7")
def test_many_are_changed_at_once_with_hashes_in_the_log_and_undone(api: httpx.Client) -> None:
    remember(api, 6)
    before = state(api)
    body = {"where": {"kind": "odd"}, "changes": {"set": {"kind": "strange", "seen": True}, "unset": ["n"]}}
    assert post(api, "edit", body)["count"] == 3
    assert state(api) == before
    assert post(api, "edit", {**body, "dry_run": False})["count"] == 3
    changed = search(api, "fact", where={"kind": "strange"}, limit=20)
    assert [m["entity"]["metadata"] for m in changed] == [{"kind": "strange", "seen": True}] * 3
    assert post(api, "edit", {**body, "dry_run": False})["count"] == 0
    (told,) = listed(api, type="memories_changed")
    assert told["payload"]["count"] == 3
    assert told["payload"]["before_hash"] != told["payload"]["after_hash"]
    post(api, "undo", {"dry_run": False})
    assert state(api) == before
    for wrong in ({"changes": {}}, {"changes": {"set": {"x": "y" * 10_000}}, "dry_run": False}, {"where": {"a": 1}}):
        assert api.post("/v1/memory/edit", json=wrong).status_code == 400, wrong


def test_only_the_last_operation_can_be_undone_and_what_was_removed_since_stays_away(api: httpx.Client) -> None:
    ids = remember(api, 4)
    post(api, "purge", {"where": {"n": 0}, "dry_run": False})
    post(api, "edit", {"where": {"kind": "odd"}, "changes": {"type": "thing"}, "dry_run": False})
    api.delete(f"/v1/memory/{ids[1]}").raise_for_status()
    assert post(api, "undo", {"dry_run": False})["operation"] == "edit"
    left = {line["entity"]["id"]: line["entity"]["type"] for line in state(api) if "entity" in line}
    assert left == {ids[2]: "note", ids[3]: "note"}


@pytest.mark.requirement("MEM-6")
def test_what_is_purged_for_good_or_as_a_whole_leaves_no_copy(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    customer = caxton_server.data_dir / "blobs" / "local"

    def holding(secret: bytes) -> list[Path]:
        files = [*customer.rglob("*"), *(caxton_server.data_dir / "memory").rglob("*")]
        return [file for file in files if file.is_file() and secret in file.read_bytes()]

    add(api, "the password is heliotrope-one", metadata={"kind": "secret"})
    add(api, "nothing")
    post(api, "purge", {"where": {"kind": "secret"}, "dry_run": False})
    assert any(customer in file.parents for file in holding(b"heliotrope-one"))
    add(api, "the password is heliotrope-two", metadata={"kind": "secret"})
    post(api, "purge", {"where": {"kind": "secret"}, "dry_run": False, "can_be_undone": False})
    assert not [file for file in holding(b"heliotrope") if customer in file.parents]
    assert post(api, "undo")["operation"] is None
    add(api, "the password is heliotrope-three")
    api.put("/v1/memory/retention", json={"max_entities": 5}).raise_for_status()
    whole = post(api, "purge", {"dry_run": False})
    assert (whole["count"], whole["can_be_undone"]) == (2, False)
    assert holding(b"heliotrope") == []
    assert not (caxton_server.data_dir / "memory" / "local" / workspace).exists()
    assert api.get("/v1/memory/retention").json()["retention"] == {"max_age": None, "max_entities": None}


@pytest.mark.requirement("MEM-6")
def test_retention_is_set_shown_and_applied(api: httpx.Client) -> None:
    ids = remember(api, 6)
    assert api.get("/v1/memory/retention").json() == {
        "retention": {"max_age": None, "max_entities": None},
        "outside": 0,
    }
    found = api.put("/v1/memory/retention", json={"max_entities": 4}).json()
    assert found == {"retention": {"max_age": None, "max_entities": 4}, "outside": 2}
    assert post(api, "retention/apply")["count"] == 2
    kept = [line["entity"]["id"] for line in state(api) if "entity" in line]
    assert sorted(kept) == sorted(ids[2:])
    year = state(api)[1]["entity"]["created_at"][:4]
    aged = api.get("/v1/memory/export").text.replace(f'_at":"{year}', f'_at":"{int(year) - 1}')
    assert api.post("/v1/memory/import", content=aged).json()["entities"] == 4
    api.put("/v1/memory/retention", json={"max_entities": 5}).raise_for_status()  # so that only age counts
    fresh = add(api, "as good as new")["id"]
    api.put("/v1/memory/retention", json={"max_age": 3600}).raise_for_status()
    assert post(api, "retention/apply")["count"] == 4
    assert [line["entity"]["id"] for line in state(api) if "entity" in line] == [fresh]
    assert {event["payload"]["reason"] for event in listed(api, type="memory_purged")} == {"RetentionPolicy"}
    assert len(listed(api, type="retention_set")) == 3
    for wrong in ({"max_age": 0}, {"max_entities": 0}, {"max_age": "long"}, {"colour": 1}):
        assert api.put("/v1/memory/retention", json=wrong).status_code == 400


@pytest.mark.requirement("MEM-4")
def test_an_import_can_be_done_again_and_is_undone_as_a_whole(api: httpx.Client) -> None:
    ids = remember(api, 5)
    api.post("/v1/memory/relations", json={"source": ids[0], "type": "near", "target": ids[1]}).raise_for_status()
    exported = api.get("/v1/memory/export").text
    lines = exported.splitlines()
    assert json.loads(lines[0])["format"] == 1
    assert json.loads(lines[-1]) == {"end": True}
    post(api, "purge", {"dry_run": False})
    first = [lines[0], *[line for line in lines if line.startswith('{"entity"')][:3], lines[-1]]
    operation = {"operation": "import_1"}
    brought = api.post("/v1/memory/import", content="\n".join(first), params=operation).json()
    assert brought == {"entities": 3, "relations": 0, "skipped": 0, "left_out": []}
    brought = api.post("/v1/memory/import", content=exported, params=operation).json()
    assert brought == {"entities": 2, "relations": 1, "skipped": 3, "left_out": []}
    assert api.get("/v1/memory/export").text == exported
    changed = exported.replace("fact number 2", "fact number two")
    brought = api.post("/v1/memory/import", content=changed).json()
    assert (brought["entities"], brought["relations"], brought["skipped"]) == (1, 0, 4)
    post(api, "undo", {"dry_run": False})
    assert api.get("/v1/memory/export").text == exported
    part = api.get("/v1/memory/export", params={"after": json.loads(lines[3])["entity"]["id"]}).text.splitlines()
    assert part == [line for line in lines if line.startswith('{"entity"')][3:] + [
        line for line in part if not line.startswith('{"entity"')
    ]
    assert api.post("/v1/memory/import", content=exported, params={"global": "true"}).status_code == 400


def test_the_daily_run_stands_in_the_engine_and_does_its_work(api: httpx.Client, workspace: str) -> None:
    import asyncio

    from temporalio.client import Client

    from caxton.runtime.schedules import retention_schedule_id
    from caxton.workflows.retention import MemoryRetentionWorkflow, RetentionInput, RetentionOutcome

    remember(api, 5)
    api.put("/v1/memory/retention", json={"max_entities": 2}).raise_for_status()
    engine = api.get("/v1/server").json()["engine"]

    async def run() -> RetentionOutcome:
        from caxton.runtime.temporal import CaxtonPlugin

        client = await Client.connect(engine["address"], namespace=engine["namespace"], plugins=[CaxtonPlugin()])
        schedule = await client.get_schedule_handle(retention_schedule_id("caxton")).describe()
        assert schedule.info.next_action_times
        return await client.execute_workflow(
            MemoryRetentionWorkflow.run, RetentionInput(), id=f"retention-{workspace}", task_queue="caxton"
        )

    outcome = asyncio.run(run())
    assert outcome.failed == 0
    assert outcome.places >= 1
    assert outcome.removed >= 3
    assert len([line for line in state(api) if "entity" in line]) == 2


@pytest.mark.requirement("MEM-4")
def test_what_an_import_notes_again_after_a_kill_counts_once(api: httpx.Client) -> None:
    ids = remember(api, 8)
    exported = api.get("/v1/memory/export").text
    api.post("/v1/memory/purge", json={"dry_run": False}).raise_for_status()
    operation = {"operation": "import_1", "more": "true"}
    api.post("/v1/memory/import", content=exported, params=operation).raise_for_status()
    for each in ids[3:]:  # as if it had been killed when it had noted all and kept three
        api.delete(f"/v1/memory/{each}").raise_for_status()
    again = api.post("/v1/memory/import", content=exported, params={"operation": "import_1"}).json()
    assert (again["entities"], again["skipped"]) == (5, 3)
    assert post(api, "undo")["left"] == 8
    assert post(api, "undo", {"dry_run": False})["done"] == 8
    assert api.get("/v1/memory").json()["memories"] == []


@pytest.mark.requirement("MEM-4")
def test_an_import_leaves_out_and_tells_relations_without_both_ends(api: httpx.Client) -> None:
    there, gone, far, away = (add(api, f"place {name}")["id"] for name in "abcd")
    for source, target in ((there, far), (gone, far), (far, gone), (far, away)):
        body = {"source": source, "type": "near", "target": target}
        api.post("/v1/memory/relations", json=body).raise_for_status()
    lines = api.get("/v1/memory/export").text.splitlines()
    api.post("/v1/memory/purge", json={"dry_run": False}).raise_for_status()
    whole = [line for line in lines if not ("entity" in json.loads(line) and gone in line)]
    whole = [whole[0], *sorted(whole[1:-1], reverse=True), whole[-1]]  # relations first
    brought = api.post("/v1/memory/import", content="\n".join(whole)).json()
    numbers = [number for number, line in enumerate(whole, 1) if line.startswith('{"relation"') and gone in line]
    assert (brought["entities"], brought["relations"]) == (3, 2)
    assert brought["left_out"] == [{"line": number, "missing": gone} for number in numbers]
    assert len(api.get(f"/v1/memory/{far}").json()["relations"]) == 2
    relation = next(json.loads(line)["relation"] for line in whole if line.startswith('{"relation"') and away in line)
    relation |= {"id": "rel_other", "source": away, "target": there}  # both are there, and not in the file
    part = "\n".join([whole[0], json.dumps({"relation": relation}), whole[-1]])
    assert api.post("/v1/memory/import", content=part).json()["relations"] == 1


def test_one_bulk_operation_is_not_taken_for_another(api: httpx.Client) -> None:
    remember(api, 6)
    exported = api.get("/v1/memory/export").text
    post(api, "purge", {"dry_run": False})
    first = api.post("/v1/memory/import", content=exported, params={"operation": "import_1", "more": "true"})
    assert first.json()["entities"] == 6
    busy = api.post("/v1/memory/purge", json={"where": {"n": 1}, "dry_run": False})
    assert (busy.status_code, busy.json()["code"]) == (429, "overloaded")
    last = api.post("/v1/memory/import", content=exported, params={"operation": "import_1"})
    assert last.json()["skipped"] == 6
    assert post(api, "purge", {"where": {"n": 1}, "dry_run": False})["count"] == 1
    assert post(api, "undo", {"dry_run": False})["operation"] == "purge"


def test_retention_that_removes_nothing_leaves_the_undo_alone(api: httpx.Client) -> None:
    remember(api, 4)
    post(api, "purge", {"where": {"kind": "odd"}, "dry_run": False})
    api.put("/v1/memory/retention", json={"max_entities": 100}).raise_for_status()
    assert post(api, "retention/apply")["count"] == 0
    assert post(api, "undo", {"dry_run": False})["done"] == 2
    assert api.put("/v1/memory/retention", json={"max_age": 99_999_999 * 86_400}).status_code == 400


def test_damaged_memory_can_be_removed_and_begun_anew(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    remember(api, 3)
    exported = api.get("/v1/memory/export").text
    for file in (caxton_server.data_dir / "memory" / "local" / workspace).rglob("data/*.lance"):
        file.unlink()
    broken = api.get("/v1/memory/export")
    assert (broken.status_code, broken.json()["code"]) == (503, "memory_unavailable")
    assert "purge" in str(broken.json()["hints"])
    post(api, "purge", {"dry_run": False})
    assert api.post("/v1/memory/import", content=exported).json()["entities"] == 3
