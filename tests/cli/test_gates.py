"""`caxton deploy --gate`."""

from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.agents import agent, replies
from tests.support.deploying import write_files

CANARY = "[rollout]\nstages = [{ percent = 50, sample = 1000 }]\n"


@pytest.mark.requirement("DEP-10", "FAC-6")
def test_a_gate_in_continuous_integration_says_by_its_exit_code_how_it_went(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, agent("clerk", rules=replies("We open at nine.")))
    new = run_cli("deploy", "--gate")
    assert new.code == 0, "a new agent has nothing to be compared with"
    assert "clerk is new: there is no version before it to compare with" in new.out
    source = run_cli("ask", "clerk", "When?", "--json").data["execution_id"]

    write_files(folder, agent("clerk", version="2.0.0", rules=replies("Bananas are rich in potassium.")))
    failed = run_cli("deploy", "--gate")
    assert failed.code == 9, failed.err
    assert "gate recorded-turns (replay), failed, 1 turn of 1 compared: 1 of 1 turns differ" in failed.out
    assert f"{source} → x_" in failed.out
    assert "clerk 2.0.0 did not pass; the version before is live" in failed.err
    assert run_cli("ask", "clerk", "When?").out == "We open at nine.\n"

    again = run_cli("deploy", "--gate", "--json")
    assert again.code == 9
    [report] = again.data["rollouts"]
    assert (report["state"], report["gates"][0]["differences"][0]["rule"]) == ("RolledBack", "similar")
    assert "recorded-turns" in run_cli("rollout", "status", "clerk").out

    write_files(folder, agent("clerk", version="3.0.0", rules=replies("We open at 9 o'clock."), more=CANARY))
    passed = run_cli("deploy", "--gate")
    assert passed.code == 0, passed.err
    assert "gate recorded-turns (replay), passed" in passed.out
    assert "canary, progressing" in passed.out


PERSON = "[[rollout.gates]]\nname = 'owner'\nkind = 'person'\n"


@pytest.mark.requirement("DEP-10")
def test_a_gate_that_a_promotion_passed_by_was_skipped(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, agent("clerk", rules=replies("a")))
    assert run_cli("deploy").code == 0
    write_files(folder, agent("clerk", version="2.0.0", rules=replies("b"), more=CANARY + PERSON))
    assert run_cli("deploy").code == 0
    assert "gate owner (person), waiting" in run_cli("rollout", "status", "clerk").out
    assert run_cli("rollout", "promote", "clerk", "--full").code == 0
    over = run_cli("rollout", "status", "clerk").out
    assert "gate owner (person), skipped" in over, over
