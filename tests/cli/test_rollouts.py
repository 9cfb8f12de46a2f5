"""`caxton rollout`, and `caxton deploy --strategy`."""

from pathlib import Path

import pytest

from tests.api.test_rollouts import say, version
from tests.cli.conftest import RunCli
from tests.conftest import RunningServer
from tests.support.deploying import write_files


@pytest.mark.requirement("DEP-6")
def test_a_rollout_is_followed_and_decided_on(run_cli: RunCli, folder: Path) -> None:
    assert "No rollout is in progress" in run_cli("rollout", "status").out
    write_files(folder, version(1))
    assert run_cli("deploy").code == 0
    unknown = run_cli("rollout", "status", "clerk")
    assert unknown.code != 0
    assert 'there is no rollout of "clerk"' in unknown.err
    write_files(folder, version(2))
    wrong = run_cli("deploy", "--strategy", "canery")
    assert wrong.code == 2
    assert "write direct, blue_green, canary or shadow" in wrong.err
    deployed = run_cli("deploy", "--strategy", "canary")
    assert "canary: not live yet" in deployed.out

    shown = run_cli("rollout", "status")
    assert "clerk 1.0.0 → 2.0.0" in shown.out
    assert "5 % of new conversations" in shown.out
    assert "stage 1 of 3" in shown.out
    assert "each version needs 20 messages" in shown.out
    assert run_cli("rollout", "status", "--json").data["rollouts"][0]["state"] == "Progressing"
    assert "clerk  1.0.0 → 2.0.0  canary, progressing, 5 % of new conversations" in run_cli("status").out
    assert run_cli("status", "--json").data["rollouts"][0]["agent"] == "clerk"
    assert "1.0.0 → 2.0.0" in run_cli("agent", "list").out
    assert "rollout: 1.0.0 → 2.0.0  canary, progressing" in run_cli("agent", "show", "clerk").out
    assert "paused" in run_cli("rollout", "pause", "clerk", "--reason", "lunch").out
    assert "lunch" in run_cli("rollout", "status", "clerk").out
    assert run_cli("rollout", "resume", "clerk", "--json").data["state"] == "Progressing"
    assert "25 % of new conversations" in run_cli("rollout", "promote", "clerk").out
    assert "rolled back" in run_cli("rollout", "abort", "clerk").out
    illegal = run_cli("rollout", "abort", "clerk")
    assert illegal.code != 0
    assert "what can be done now: retry" in illegal.err
    assert 'the rollout of "clerk" is rolled back: it cannot' in illegal.err
    misspelt = run_cli("rollout", "status", "clrek")
    assert 'did you mean "clerk"?' in misspelt.err
    assert "5 % of new conversations" in run_cli("rollout", "retry", "clerk").out
    assert "promoted" in run_cli("rollout", "promote", "clerk", "--full").out
    assert "rolled back" in run_cli("rollout", "undo", "clerk").out
    both = run_cli("rollout", "status", "--watch", "--json")
    assert both.code == 2


@pytest.mark.requirement("DEP-6", "DEP-5")
def test_a_rollback_says_that_it_ended_a_rollout(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, version(1))
    assert run_cli("deploy").code == 0
    write_files(folder, version(2))
    assert run_cli("deploy", "--strategy", "canary").code == 0
    undone = run_cli("rollback")
    assert undone.code == 0, undone.err
    assert "clerk: the rollout of 2.0.0 is ended" in undone.out
    assert "superseded" in run_cli("rollout", "status", "clerk").out


@pytest.mark.requirement("DEP-7")
def test_what_an_old_version_has_in_hand_is_shown(
    run_cli: RunCli, folder: Path, caxton_server: RunningServer, workspace: str
) -> None:
    write_files(folder, version(1))
    first = run_cli("deploy", "--json").data["id"]
    with caxton_server.client(workspace) as api:
        talk = api.post("/v1/conversations", json={"capability": "clerk"}).json()["id"]
        assert say(api, talk, "hello") == "v1"
    write_files(folder, version(2))
    assert run_cli("deploy").code == 0
    assert "Old versions that finish what they have in progress" in (shown := run_cli("status").out)
    assert "agent clerk  1.0.0  1 conversation" in shown
    assert run_cli("status", "--json").data["draining"][0]["version"] == "1.0.0"
    assert "1.0.0 drains: 1 conversation" in run_cli("agent", "show", "clerk").out
    assert "draining" in run_cli("deployments").out
    assert "agent clerk  1.0.0  1 conversation" in run_cli("deployments", "show", first).out
