"""`caxton fork`."""

from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import write_files


@pytest.mark.requirement("MSG-11")
def test_a_turn_is_forked_at_a_step_and_the_trace_says_from_where(run_cli: RunCli, folder: Path) -> None:
    second = agent("second", rules=replies("so it is"))
    write_files(folder, {**agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'), **second})
    assert run_cli("deploy").code == 0
    source = run_cli("ask", "first", "hello", "--json").data["execution_id"]
    steps = run_cli("fork", source)
    assert (steps.code, "→ second" in steps.out) == (0, True), steps.err
    assert run_cli("fork", "--last", "--json").data["steps"] == [
        {"step": 0, "calls": []},
        {"step": 1, "calls": ["second"]},
    ]
    forked = run_cli("fork", "--last", "--at", "1")
    assert (forked.code, forked.out) == (0, "so it is\n")
    assert run_cli("fork", "--last", "--json").data["steps"][1] == {"step": 1, "calls": ["second"]}
    told = run_cli("trace", "--last").out
    assert f"goes on from {source} after step 1 (1 model call and 1 result taken over)" in told
    assert "(taken over)" in run_cli("trace", "--last", "--contents").out
    assert "events alone lead to what was recorded" in run_cli("trace", "--last", "--replay").out

    for misspelt in ("frist", "frist@1.0.0"):
        assert 'did you mean "first"?' in run_cli("fork", source, "--at", "1", "--agent", misspelt).err
    handed = run_cli("fork", source, "--at", "0", "--agent", "first@1.0.0", "--no-wait").out.strip()
    assert run_cli("execution", "wait", handed).out == "so it is\n"
    for words, code in (
        ((source, "--at", "5"), 3),
        ((source, "--at", "2"), 3),
        ((source, "--at", "1", "--agent", "first@9.0.0"), 4),
        ((source, "--at", "1", "--agent", "@1"), 2),
        (("--at", "1"), 2),
        (("x_nothing", "--at", "1"), 4),
    ):
        refused = run_cli("fork", *words)
        assert refused.code == code, (words, refused.err)
    assert "its reply: nothing follows it" in run_cli("fork", source, "--at", "2").err
