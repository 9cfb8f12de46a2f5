"""Histories of approvals and of versions, rebuilt from the log alone."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.domain.events import Event, trusted_event
from caxton.projections.histories import APPROVALS, LATEST
from tests.api.conftest import Deploy
from tests.api.test_approvals import finished, guarded, pending, send
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_folder, write_files


def history(api: httpx.Client, name: str, key: str, is_complete: Callable[[list[dict[str, Any]]], bool]) -> Any:
    """The entries of a history, once they are complete: other tests write to the same log meanwhile."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = api.get(f"/v1/views/{name}", params={"key": key})
        if answer.status_code == 200 and is_complete(answer.json()["documents"][key][name]):
            return answer.json()["documents"][key][name]
        time.sleep(0.1)
    raise AssertionError(f"the view {name} has nothing of {key}")


@pytest.mark.requirement("EVT-4")
def test_the_history_of_approvals_says_who_decided_what(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded())
    for decision in ("grant", "reject"):
        execution = send(api, "teller")
        (approval,) = pending(api)
        body = {"reason": f"because of {decision}"}
        api.post(f"/v1/approvals/{approval['id']}/{decision}", json=body).raise_for_status()
        finished(api, execution)
    send(api, "teller")
    (waiting,) = pending(api)

    entries = history(api, "approvals", "agent teller", lambda found: len(found) == 3)
    assert [entry["state"] for entry in entries] == ["Granted", "Rejected", "Pending"]
    assert [entry.get("reason") for entry in entries] == ["because of grant", "because of reject", None]
    assert [entry.get("decided_by") for entry in entries] == ["founder:admin", "founder:admin", None]
    assert entries[0]["requested_at"] < entries[0]["decided_at"] < entries[1]["requested_at"]
    assert {(entry["action_type"], entry["name"], entry["risk_level"]) for entry in entries} == {
        ("wire-money", "hostile.ok", "high")
    }
    assert entries[2]["approval_id"] == waiting["id"]
    assert history(api, "approvals", "recent", lambda found: len(found) == 3) == entries
    api.post(f"/v1/approvals/{waiting['id']}/grant").raise_for_status()
    rebuilt = api.post("/v1/views/approvals/rebuild")
    assert rebuilt.status_code == 200, rebuilt.text
    history(api, "approvals", "agent teller", lambda found: [entry["state"] for entry in found][2:] == ["Granted"])


@pytest.mark.requirement("EVT-4")
def test_the_history_of_versions_says_which_was_live_when(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    first = deploy(agent("a", rules=replies("a1")))
    second = deploy(agent("a", rules=replies("a2"), version="2.0.0"))
    rolled = api.post(f"/v1/deployments/{second['id']}/rollback").json()

    entries = history(api, "versions", "agent a", lambda found: len(found) == 3)
    assert [(entry["change"], entry["before"], entry["version"]) for entry in entries] == [
        ("deployed", None, "1.0.0"),
        ("deployed", "1.0.0", "2.0.0"),
        ("rolled back", "2.0.0", "1.0.0"),
    ]
    assert [entry["deployment_id"] for entry in entries] == [first["id"], second["id"], rolled["id"]]
    assert entries[0]["digest"] == entries[2]["digest"] != entries[1]["digest"]
    assert {entry["by"] for entry in entries} == {"founder:admin"}

    smaller = write_files(tmp_path / "smaller", agent("b", rules=replies("b")))
    deploy_folder(api, smaller, prune=True).raise_for_status()
    removed = history(api, "versions", "agent a", lambda found: len(found) == 4)[3]
    assert (removed["change"], removed["before"], removed["version"]) == ("removed", "1.0.0", None)


def test_a_decision_is_kept_though_its_request_is_pushed_out() -> None:
    def event(kind: str, number: int, **more: Any) -> Event:
        facts = {"approval_id": f"a{number}", "action_type": "reply", "name": "", **more}
        return trusted_event(
            event_id=f"{kind}{number}",
            event_type=kind,
            schema_version=1,
            timestamp=datetime.now(UTC),
            customer_id="acme",
            workspace="w",
            actor="founder:admin",
            agent="writer",
            payload=facts,
        )

    document = None
    for number in range(LATEST + 1):
        document = APPROVALS.fold(document, event("approval_requested", number, expires_at="later"), "recent")
    document = APPROVALS.fold(document, event("approval_granted", 0, reason="fine"), "recent")
    assert document is not None
    last = document["approvals"][-1]
    assert (last["approval_id"], last["state"], last["decided_by"]) == ("a0", "Granted", "founder:admin")
    assert len(document["approvals"]) == LATEST
