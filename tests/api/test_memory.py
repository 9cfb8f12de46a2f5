"""Memory over HTTP and in agents."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_events import listed
from tests.conftest import RunningServer
from tests.support.agents import agent, replies


def add(api: httpx.Client, text: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/memory", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def search(api: httpx.Client, text: str, **more: Any) -> list[dict[str, Any]]:
    answer = api.post("/v1/memory/search", json={"text": text, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["matches"]


@pytest.mark.requirement("MEM-1")
@pytest.mark.requirement("MEM-7")
def test_memories_are_added_found_corrected_and_removed(api: httpx.Client) -> None:
    tea = add(api, "Anna drinks tea without sugar", name="Anna", metadata={"kind": "habit"})
    add(api, "The office is closed on Fridays")
    assert add(api, "Anna drinks tea without sugar", name="Anna")["id"] == tea["id"]
    [found] = search(api, "what does she like to drink", limit=1)
    assert found["entity"]["id"] == tea["id"]
    assert found["entity"]["provenance"]["actor"] == "founder:admin"
    edited = api.patch(f"/v1/memory/{tea['id']}", json={"observations": ["Anna drinks coffee now"]})
    assert edited.status_code == 200, edited.text
    assert search(api, "coffee", mode="text")[0]["entity"]["id"] == tea["id"]
    (told,) = listed(api, type="memory_edited")
    assert told["payload"]["before_hash"] != told["payload"]["after_hash"]
    stats = api.get("/v1/memory/stats").json()["workspace"]
    assert (stats["entities"], stats["relations"]) == (2, 0)
    assert api.delete(f"/v1/memory/{tea['id']}").status_code == 204
    assert api.get(f"/v1/memory/{tea['id']}").status_code == 404
    assert search(api, "coffee", mode="text") == []
    assert len(listed(api, type="memory_stored")) == 3
    assert "Anna" not in str(listed(api, limit=1000))


@pytest.mark.requirement("MEM-2")
def test_relations_make_a_graph(api: httpx.Client) -> None:
    a, b, c = (add(api, f"step {name}")["id"] for name in "abc")
    for source, target in ((a, b), (b, c)):
        body = {"source": source, "type": "leads to", "target": target}
        assert api.post("/v1/memory/relations", json=body).status_code == 201
    paths = api.get(f"/v1/memory/{a}/graph", params={"hops": 2, "direction": "out"}).json()["paths"]
    assert [(path["entity"]["id"], path["hops"]) for path in paths] == [(b, 1), (c, 2)]
    missing = api.post("/v1/memory/relations", json={"source": a, "type": "x", "target": "mem_nope"})
    assert missing.status_code == 400
    relation = api.get(f"/v1/memory/{a}").json()["relations"][0]["id"]
    assert api.delete(f"/v1/memory/relations/{relation}").status_code == 204
    assert api.delete(f"/v1/memory/relations/{relation}").status_code == 404
    (told,) = listed(api, type="relation_removed")
    assert (told["payload"]["relation_id"], told["actor"]) == (relation, "founder:admin")


@pytest.mark.requirement("MEM-3")
def test_two_customers_with_equal_data_never_see_one_another(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    key = api.post("/v1/keys", json=body).json()["key"]
    with caxton_server.client(workspace, key=key) as other, caxton_server.client(f"{workspace}-b") as elsewhere:
        mine = add(api, "equal data", scope={"kind": "workspace"})
        assert search(other, "equal data") == search(elsewhere, "equal data") == []
        theirs = add(other, "equal data", metadata={"owner": "them"})
        assert theirs["id"] == mine["id"]
        assert search(api, "equal data")[0]["entity"]["metadata"] == {}
        assert other.delete(f"/v1/memory/{mine['id']}").status_code == 204
        assert api.get(f"/v1/memory/{mine['id']}").status_code == 200
        add(api, "shared by all workspaces", scope={"kind": "global"})
        shared = {"scopes": [{"kind": "global"}]}
        assert [
            m["entity"]["text"] if "text" in m["entity"] else m["entity"]["observations"][0]
            for m in search(elsewhere, "shared", **shared)
        ] == ["shared by all workspaces"]
        assert search(other, "shared", **shared) == []
        api.post("/v1/memory/purge", json={"scope": "global", "dry_run": False}).raise_for_status()


@pytest.mark.requirement("MEM-4")
@pytest.mark.requirement("MEM-6")
def test_export_purge_and_import_bring_everything_back(api: httpx.Client) -> None:
    ids = [add(api, f"fact number {number}", metadata={"n": number})["id"] for number in range(7)]
    api.post("/v1/memory/relations", json={"source": ids[0], "type": "near", "target": ids[1]}).raise_for_status()
    exported = api.get("/v1/memory/export").text
    preview = api.post("/v1/memory/purge", json={}).json()
    assert (preview["count"], preview["dry_run"]) == (7, True)
    assert len(search(api, "fact", limit=20)) == 7
    assert api.post("/v1/memory/purge", json={"dry_run": False}).json()["count"] == 7
    assert search(api, "fact") == []
    (told,) = listed(api, type="memory_purged")
    assert (told["payload"]["count_removed"], told["actor"]) == (7, "founder:admin")
    odd = exported.replace('"conversation_id":null', '"conversation_id":"\\ud800"')
    newer = exported.replace('"format":1', '"format":99')
    for wrong in (exported[:-20], "{}", "x", newer, "", exported + exported, odd):
        refused = api.post("/v1/memory/import", content=wrong)
        assert refused.status_code == 400, wrong[:50]
    assert search(api, "fact") == []
    assert api.post("/v1/memory/import", content=exported).json() == {
        "entities": 7,
        "relations": 1,
        "skipped": 0,
        "left_out": [],
    }
    assert sorted(m["entity"]["id"] for m in search(api, "fact", limit=20)) == sorted(ids)
    assert len(api.get(f"/v1/memory/{ids[0]}").json()["relations"]) == 1


def test_bad_input_is_told(api: httpx.Client) -> None:
    odd = api.post("/v1/memory", json={"text": "x", "type": "it's"}).json()
    assert odd["detail"] == 'type: only letters, digits, "_", "." and "-" may be in it'
    for body in (
        {"text": ""},
        {"text": " \n"},
        {"text": "x" * 10_000_000},
        {"text": "x", "scope": {"kind": "nowhere"}},
        {"text": "x", "metadata": {"big": "x" * 10_000}},
        {"text": "x", "colour": "red"},
    ):
        assert api.post("/v1/memory", json=body).status_code in (400, 413), str(body)[:60]
    for query in (
        {"text": ""},
        {"text": "x", "limit": 0},
        {"text": "x", "mode": "magic"},
        {"text": "x", "min_similarity": 2},
    ):
        assert api.post("/v1/memory/search", json=query).status_code == 400, query
    deep = '{"a":' * 5_000 + "1" + "}" * 5_000
    for content in (f'{{"text": "x", "metadata": {deep}}}', '{"text": "x\\ud800"}', '{"text": "x", "metadata": [1]}'):
        refused = api.post("/v1/memory", content=content, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400, (content[:40], refused.text)
    nested: dict[str, Any] = {"n": 1}
    for _ in range(25):
        nested = {"n": nested}
    assert add(api, "deep metadata", metadata=nested)["metadata"] == nested
    for _ in range(20):
        nested = {"n": nested}
    for wrong in (nested, {"a": "\ud800"}, {"a": [1e400]}):
        text = json.dumps({"text": "refused", "metadata": wrong})
        refused = api.post("/v1/memory", content=text, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400, refused.text
    for scope in ({"kind": "agent"}, {"kind": "workspace", "owner": "x"}, {"kind": "global", "owner": "x"}):
        assert api.post("/v1/memory", json={"text": "x", "scope": scope}).status_code == 400
    odd = add(api, "\u202eodd \u0000 text\u200b 🦉", metadata={"ключ": "'; DROP TABLE memory; --"})
    assert search(api, "owl", where={"ключ": "'; DROP TABLE memory; --"})[0]["entity"]["id"] == odd["id"]
    assert search(api, "owl", where={"ключ": "' OR '1'='1"}) == []
    for broken in ("workspace:x", "agent:", "nowhere", "agent:a'b", "conversation:../x"):
        assert api.get("/v1/memory", params={"scope": broken}).status_code == 400, broken
    assert api.get("/v1/memory", params={"scope": "agent"}).status_code == 400
    assert api.get("/v1/memory/mem_nope").status_code == 404


@pytest.mark.requirement("MEM-4")
def test_whatever_is_kept_can_be_exported_and_brought_in_again(api: httpx.Client) -> None:
    odd = add(api, "line one\u2028line two \x85 next\x0b\x1c…", name="a\u2029b", metadata={"k": "v\u2028"})
    for part in ("a", "b"):
        add(api, "said twice", metadata={part: "x" * 3_000})
    grown = api.post("/v1/memory", json={"text": "said twice", "metadata": {"c": "x" * 3_000}})
    assert grown.status_code == 400  # with what is there already it would be too large
    too_long = {"observations": ["y" * 70_000]}
    assert api.patch(f"/v1/memory/{odd['id']}", json=too_long).status_code == 400
    assert api.patch(f"/v1/memory/{odd['id']}", json={"observations": ["\x00 "]}).status_code == 400
    exported = api.get("/v1/memory/export").text
    api.post("/v1/memory/purge", json={"dry_run": False}).raise_for_status()
    assert api.post("/v1/memory/import", content=exported.encode()).json()["entities"] == 2
    assert api.get("/v1/memory/export").text == exported


@pytest.mark.requirement("MEM-7")
def test_what_was_edited_away_can_be_remembered_again(api: httpx.Client) -> None:
    door = add(api, "The door code is 1111")
    edited = api.patch(f"/v1/memory/{door['id']}", json={"observations": ["The door code is 2222"]})
    assert edited.json()["observations"] == ["The door code is 2222"]
    again = add(api, "The door code is 1111")
    assert again["id"] != door["id"]
    assert again["observations"] == ["The door code is 1111"]
    assert add(api, "The door code is 1111")["id"] == again["id"]
    twin = api.patch(f"/v1/memory/{add(api, 'Bees fly')['id']}", json={"observations": ["The window is open"]})
    assert twin.status_code == 200
    add(api, "The lamp is on")
    refused = api.patch(f"/v1/memory/{twin.json()['id']}", json={"observations": ["The lamp is on"]})
    assert refused.status_code == 400
    hashes = [event["payload"] for event in listed(api, type="memory_edited")]
    assert all(told["before_hash"] != told["after_hash"] for told in hashes)


def test_those_who_remember_the_same_at_once_lose_nothing(api: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: add(api, "one text", metadata={f"n{n}": n}), range(20)))
    [found] = search(api, "one text", limit=5, mode="text")
    assert len(found["entity"]["metadata"]) == 20


REMEMBERS = """
[memory]
enabled = true
auto_store = true
min_similarity = 0.3
"""


@pytest.mark.requirement("MEM-5")
def test_an_agent_remembers_an_earlier_conversation_and_says_where_it_comes_from(
    api: httpx.Client, deploy: Deploy
) -> None:
    rules = replies(
        "{% for m in memories %}I remember from {{ m.from.conversation_id }}: {{ m.text }}{% else %}Sales grew 60 %{% endfor %}"
    )
    deploy(agent("analyst", rules=rules, more=REMEMBERS))
    first = api.post("/v1/messages", json={"capability": "analyst", "content": "How did sales develop?"}).json()
    assert first["reply"]["content"]["text"] == "Sales grew 60 %"
    deadline = time.monotonic() + 20
    while not listed(api, type="memory_stored") and time.monotonic() < deadline:
        time.sleep(0.1)
    again = api.post("/v1/messages", json={"capability": "analyst", "content": "What do you know about sales?"}).json()
    text = again["reply"]["content"]["text"]
    assert f"I remember from {first['conversation_id']}" in text
    assert "Sales grew 60 %" in text
    assert len(again["reply"]["metadata"]["memories"]) == 1
    (stored,) = api.get("/v1/memory", params={"scope": "agent:analyst"}).json()["memories"][:1]
    assert stored["provenance"] == {
        "agent": "analyst",
        "conversation_id": first["conversation_id"],
        "execution_id": first["execution_id"],
        "actor": None,
    }
    assert api.get(f"/v1/executions/{again['execution_id']}/replay").json()["differences"] == []


def test_a_memory_made_by_hand_does_not_fail_a_script_that_says_where_memories_come_from(
    api: httpx.Client, deploy: Deploy
) -> None:
    add(api, "Anna keeps the records of sales.")
    says = (
        "{% for m in memories %}{{ m.text }} ({{ m.from.agent or m.from.conversation_id or m.from.actor }}){% endfor %}"
    )
    deploy(agent("analyst", rules=replies(says), more=REMEMBERS))
    turn = api.post("/v1/messages", json={"capability": "analyst", "content": "Who keeps the records of sales?"}).json()
    assert turn["reply"]["content"]["text"] == "Anna keeps the records of sales. (founder:admin)"


@pytest.mark.requirement("MEM-5")
def test_memory_is_a_tool_that_must_be_allowed(api: httpx.Client, deploy: Deploy) -> None:
    keeps = (
        "[[rules]]\nwhen = { contains = 'keep' }\n[[rules.steps]]\ntool = 'memory.remember'\n"
        "arguments = { text = '{{ request }}' }\n[[rules.steps]]\nreply = 'kept'\n"
        "[[rules]]\n[[rules.steps]]\ntool = 'memory.recall'\narguments = { query = '{{ request }}' }\n"
        "[[rules.steps]]\nreply = '{{ results[0].json.memories[0].text }}'\n"
    )
    deploy(agent("keeper", rules=keeps, more='tools = ["memory"]\n'))

    def ask(text: str) -> str:
        return api.post("/v1/messages", json={"capability": "keeper", "content": text}).json()["reply"]["content"][
            "text"
        ]

    assert ask("keep that the safe is behind the picture") == "kept"
    assert ask("where is the safe?") == "keep that the safe is behind the picture"
    types = [event["event_type"] for event in listed(api, limit=1000)]
    assert types.count("memory_stored") == 1
    assert types.count("tool_executed") == 2
