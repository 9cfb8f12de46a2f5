"""`caxton ask`, `trace`, and what goes wrong with a request."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.support.agents import agent, replies
from tests.support.deploying import write_files

pytestmark = pytest.mark.xdist_group("asking")  # one worker makes what they share

FAILING = {
    "agents/failing.toml": """
name = "failing"
version = "1.0.0"
capabilities = ["fail"]
model = "scripted"
script = "failing.script.toml"
""",
    "agents/failing.script.toml": """
[[rules]]
when = { contains = "please" }
[[rules.steps]]
fail = "the script says no"
""",
}


@pytest.fixture(scope="module")
def pair_workspace() -> str:
    """One workspace for the tests that only ask: deploying the tools takes a second."""
    return f"pair-{os.getpid()}-{os.urandom(3).hex()}"


@pytest.fixture
def pair(run_cli: RunCli, pair_workspace: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> RunCli:
    """Two agents that work together, from templates, with their tools."""
    monkeypatch.setenv("CAXTON_WORKSPACE", pair_workspace)
    if not run_cli("agent", "list", "--json").data["agents"]:
        for template in ("data-fetcher", "data-analyzer"):
            assert run_cli("init", template, "--template", template, "--yes").code == 0
        assert run_cli("deploy").code == 0
    return run_cli


@pytest.mark.requirement("MSG-3")
@pytest.mark.requirement("ONB-6")
def test_a_request_brings_the_reply_and_writes_the_chart(pair: RunCli, folder: Path) -> None:
    asked = pair("ask", "fetch-data", "How did sales develop?")
    assert asked.code == 0, asked.err
    assert asked.out.startswith("Revenue grew")
    assert "chart: ./" not in asked.out  # what a pipe gets is the reply alone
    assert asked.err == "chart: ./revenue-by-month.svg\n"
    assert (folder / "revenue-by-month.svg").read_bytes().startswith(b"<svg")


@pytest.mark.requirement("MSG-3")
@pytest.mark.requirement("MSG-7")
def test_on_a_terminal_the_steps_of_both_agents_appear(pair: RunCli, folder: Path) -> None:
    terminal = Terminal("ask", "fetch-data", "How did sales develop?", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 0
    order = ["Asking …", "⚙ csv-tools read_csv", "→ data-analyzer (analyze-data)", "⚙ chart-generator", "Revenue grew"]
    places = [terminal.text.index(part) for part in order]
    assert places == sorted(places)
    last = " ".join(terminal.text.rstrip().splitlines()[-2:])
    for part in ("scripted model", "conversation c_", "caxton trace x_"):
        assert part in last
    assert "\x1b[36m" in terminal.text
    assert (
        f"\x1b]8;;{(folder / 'revenue-by-month.svg').resolve().as_uri()}\x1b\\" in terminal.text
    )  # a click opens the chart


def test_no_color_is_respected(pair: RunCli, folder: Path) -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    terminal = Terminal("ask", "fetch-data", "How did sales develop?", cwd=folder, env=environment)
    assert terminal.finish() == 0
    assert "m\x1b" not in terminal.text
    assert "\x1b[3" not in terminal.text
    assert "\x1b[2m" not in terminal.text


def test_a_file_with_other_content_is_never_written_over_without_force(pair: RunCli, folder: Path) -> None:
    chart = folder / "revenue-by-month.svg"
    chart.write_text("mine")
    asked = pair("ask", "fetch-data", "How did sales develop?")
    assert "chart: ./revenue-by-month-2.svg" in asked.err
    assert chart.read_text() == "mine"
    again = pair("ask", "fetch-data", "How did sales develop?")
    assert "chart: ./revenue-by-month-2.svg" in again.err  # the same content needs no third file
    forced = pair("ask", "fetch-data", "How did sales develop?", "--force")
    assert "chart: ./revenue-by-month.svg" in forced.err
    assert chart.read_text().startswith("<svg")


def test_files_go_where_out_says(pair: RunCli, folder: Path) -> None:
    assert pair("ask", "fetch-data", "How did sales develop?", "--out", "charts").code == 0
    assert (folder / "charts/revenue-by-month.svg").is_file()
    assert not (folder / "revenue-by-month.svg").exists()


@pytest.mark.requirement("MSG-2")
def test_json_has_the_turn_the_text_and_the_files(pair: RunCli, folder: Path) -> None:
    turn = pair("ask", "fetch-data", "How did sales develop?", "--json").data
    assert turn["state"] == "completed"
    assert turn["scripted"]
    assert turn["text"].startswith("Revenue grew")
    assert turn["reply"]["type"] == "Response"
    assert turn["reply"]["reply_to"]
    assert turn["files"] == [str(folder / "revenue-by-month.svg")]


@pytest.mark.requirement("MSG-3")
def test_trace_tells_the_turn_step_by_step(pair: RunCli) -> None:
    turn = pair("ask", "fetch-data", "How did sales develop?", "--json").data
    told = pair("trace", turn["execution_id"])
    assert told.code == 0
    order = ["begins fetch-data", "tool csv-tools.read_csv", "begins analyze-data", "tool chart-generator.", "done"]
    places = [told.out.index(part) for part in order]
    assert places == sorted(places)
    assert "3 tool calls" in told.out
    events = pair("trace", turn["execution_id"], "--events")
    assert "execution_triggered" in events.out
    as_json = pair("trace", turn["execution_id"], "--json").data
    assert {event["event_type"] for event in as_json["events"]} >= {"execution_triggered", "execution_completed"}


def test_the_request_may_come_from_stdin(echo: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    assert echo("ask", "echo", "-").out == "you said: from a pipe\n"


@pytest.mark.requirement("RTE-2")
def test_a_version_range_or_one_agent_can_be_asked(echo: RunCli) -> None:
    assert echo("ask", "echo@^1.0", "hello").out == "you said: hello\n"
    assert echo("ask", "--agent", "echo", "hello").out == "you said: hello\n"
    refused = echo("ask", "echo@^2", "hello")
    assert refused.code == 4
    assert "^2" in refused.err


@pytest.mark.requirement("RTE-4")
@pytest.mark.requirement("ERR-1")
def test_an_unknown_capability_brings_similar_ones_and_what_to_do(echo: RunCli) -> None:
    outcome = echo("ask", "ecco", "hello")
    assert outcome.code == 4
    assert outcome.err.startswith('error: no agent offers the capability "ecco"\n  similar: echo')
    assert "caxton capabilities" in outcome.err
    error = echo("ask", "ecco", "hello", "--json").error
    assert error["code"] == "no_capable_agent"
    assert error["details"]["reason"] == "NoCapableAgent"


@pytest.mark.requirement("RTE-4")
@pytest.mark.requirement("AGT-4")
def test_a_capability_whose_agents_are_stopped_says_so(echo: RunCli) -> None:
    assert echo("agent", "stop", "echo", "--grace", "0").code == 0
    outcome = echo("ask", "echo", "hello", "--json")
    assert outcome.code == 4
    assert outcome.error["code"] == "all_agents_unavailable"
    assert any("caxton agent start echo" in str(hint.get("command")) for hint in outcome.error["hints"])
    assert echo("agent", "start", "echo").code == 0
    assert echo("ask", "echo", "hello").code == 0


@pytest.mark.requirement("MSG-4")
@pytest.mark.requirement("ERR-1")
def test_a_turn_that_failed_has_its_own_exit_code_and_the_way_to_its_trace(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(FAILING))
    assert run_cli("deploy").code == 0
    outcome = run_cli("ask", "fail", "please")
    assert outcome.code == 8
    assert outcome.out == ""
    assert "the script says no" in outcome.err
    assert "caxton trace x_" in outcome.err
    told = run_cli("trace", outcome.err.split("caxton trace ")[1].split()[0])
    assert told.code == 0
    assert "failed" in told.out
    no_rule = run_cli("ask", "fail", "something else", "--json")
    assert no_rule.code == 8
    assert no_rule.error["code"] == "no_script_rule"
    terminal = Terminal("ask", "fail", "please", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 8
    assert "the script says no" in terminal.text


@pytest.mark.parametrize("arguments", [[], ["echo"], ["echo", " "], ["--agent", "echo"]])
def test_a_request_without_text_is_told_with_an_example(echo: RunCli, arguments: list[str]) -> None:
    outcome = echo("ask", *arguments)
    assert outcome.code == 2
    assert "for example: caxton ask" in outcome.err


def test_a_request_can_be_handed_in_without_waiting(echo: RunCli) -> None:
    handed_in = echo("ask", "echo", "hello", "--no-wait")
    assert handed_in.code == 0
    execution = handed_in.out.strip()
    assert execution.startswith("x_")
    assert echo("trace", execution, "--json").code == 0


@pytest.mark.requirement("MSG-9")
def test_a_long_request_and_a_long_reply_arrive_whole(echo: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ä" * 200_000
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert echo("ask", "echo", "-").out == f"you said: {text}\n"


@pytest.mark.requirement("MSG-6")
def test_conversations_are_listed_and_shown(echo: RunCli) -> None:
    turn = echo("ask", "echo", "hello", "--json").data
    listed = echo("conversation", "list")
    assert turn["conversation_id"] in listed.out
    shown = echo("conversation", "show", turn["conversation_id"])
    assert "user → " in shown.out
    assert "you said: hello" in shown.out
    assert json.loads(echo("conversation", "list", "--active", "--json").out) == {"conversations": []}


@pytest.mark.requirement("FAC-9")
@pytest.mark.requirement("GOV-1")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_in_a_pipe_stderr_tells_what_waits_for_a_person(run_cli: RunCli, folder: Path, options: list[str]) -> None:
    offered = '[{ name = "pay", approval_mode = "operator" }]'
    write_files(folder, agent("payer", capabilities=offered, rules=replies("paid {{ request }}")))
    assert run_cli("deploy").code == 0
    asking = subprocess.Popen(
        [sys.executable, "-m", "caxton", "ask", "pay", "7", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert asking.stderr is not None
        told = [asking.stderr.readline() for _ in range(3)]
        assert told[0].strip() == "payer: reply waits for the operator"
        command = told[2].split("decide:")[1].split("(")[0].split()
        assert command[:3] == ["caxton", "approvals", "grant"]
        assert run_cli(*command[1:]).code == 0
        out, err = asking.communicate(timeout=60)
    finally:
        asking.kill()
    assert asking.returncode == 0, err
    assert (json.loads(out)["text"] if options else out.strip()) == "paid 7"
