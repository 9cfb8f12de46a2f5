"""What is wrong in `[rollout]` is told at its place, with the fix."""

from pathlib import Path

import pytest

from caxton.definitions.workspace import load_workspace
from tests.support.agents import agent, replies
from tests.support.deploying import write_files

GATE = '[[rollout.gates]]\nname = "{}"\nkind = "person"\n'


@pytest.mark.requirement("DEP-6", "AGT-2")
@pytest.mark.parametrize(
    ("rollout", "path", "message", "hint"),
    [
        ("stages = [{ percent = 50 }, { percent = 20 }]", "stages[1].percent", "larger `percent`", "the order"),
        ("stages = [{ percent = 5 }, { percent = 100 }]", "stages[1].percent", "nothing to compare with", "remove it"),
        ('stages = [{ percent = 5, duration = "3d" }]', "stages[0].duration", "`longest`", 'longest = "3d"'),
        ("stages = []", "stages", "must not be empty", ""),
        (GATE.format("one") + GATE.format("one"), "gates[1].name", "the same name", "another name"),
        (GATE.format("shadow"), "gates[0].name", "report of a shadow", "rename"),
        (
            'strategy = "direct"\n[[rollout.gates]]\nname = "x"\nkind = "webhook"\nat = "rollout"\nchannel = "ci"',
            "gates[0].at",
            "no such time",
            "pre-rollout",
        ),
        (
            '[[rollout.metrics]]\nname = "a"\nevent = "tol_execution_failed"',
            "metrics[0].event",
            "no event",
            "did you mean",
        ),
        (
            '[[rollout.metrics]]\nname = "a"\nevent = "deployment_failed"',
            "metrics[0].event",
            "never decide",
            "of turns",
        ),
        (
            '[[rollout.metrics]]\nname = "slow"\nevent = "action_failed"',
            "metrics[0].name",
            "every rollout has",
            "another",
        ),
        ("breaches = true", "breaches", "never decide", "sla"),
        ("tokens_above = 5000", "tokens_above", "never decide", "fewer tokens"),
        ('slow_after = "10m"', "slow_after", "never decide", "shorter"),
        ('stages = [{ percent = 5 }]\nlongest = "5s"', "longest", "never be told good", "look_every"),
        ('[rollout.judge]\ncapability = "clerk"', "judge.capability", "judges itself", "another agent"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_told_at_its_place(
    tmp_path: Path, rollout: str, path: str, message: str, hint: str
) -> None:
    limits = '[limits]\ntokens = 1000\ntime = "5m"\n'
    files = agent("clerk", rules=replies("x"), more=f"{limits}[rollout]\n{rollout}\n")
    [problem] = load_workspace(write_files(tmp_path, files)).errors
    assert problem.path == f"rollout.{path}"
    assert message in problem.message
    assert hint in (problem.hint or "")
    assert problem.line > 1


@pytest.mark.requirement("DEP-6", "AGT-2")
@pytest.mark.parametrize(
    ("rollout", "path"),
    [
        ('strategy = "blue_green"\nstages = [{ percent = 5 }]', "rollout.stages"),
        ("[rollout.shadow]\npercent = 10", "rollout.shadow"),
        ('[rollout.judge]\ncapability = "grade"', "rollout.judge.capability"),
    ],
)
def test_what_has_no_effect_or_nobody_to_do_it_is_warned_of(tmp_path: Path, rollout: str, path: str) -> None:
    files = agent("clerk", rules=replies("x"), more=f"[rollout]\n{rollout}\n")
    workspace = load_workspace(write_files(tmp_path, files))
    assert not workspace.errors
    assert [problem.path for problem in workspace.problems] == [path]


@pytest.mark.requirement("TOL-9", "DEP-6")
def test_a_rollout_of_a_tool_is_refused_with_the_reason(tmp_path: Path) -> None:
    manifest = 'name = "t"\nversion = "1.0.0"\nmodule = "t.wasm"\n[rollout]\nstrategy = "canary"\n'
    files: dict[str, str | bytes] = {"tools/t/tool.toml": manifest, "tools/t/t.wasm": b"\0asm\r\0\1\0"}
    found = [each for each in load_workspace(write_files(tmp_path, files)).errors if each.path == "rollout"]
    assert [(each.line, each.file) for each in found] == [(4, "tools/t/tool.toml")]
    assert "a tool has no rollout of its own" in found[0].message
    assert "under a name of its own" in (found[0].hint or "")
