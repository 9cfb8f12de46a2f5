"""`caxton rollout`, and `caxton deploy --strategy`."""

from pathlib import Path

import pytest

from tests.api.test_rollouts import version
from tests.cli.conftest import RunCli
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
    assert "5 % of new conversations" in run_cli("rollout", "retry", "clerk").out
    assert "promoted" in run_cli("rollout", "promote", "clerk", "--full").out
    assert "rolled back" in run_cli("rollout", "undo", "clerk").out
    both = run_cli("rollout", "status", "--watch", "--json")
    assert both.code == 2
