"""`caxton agent`, `capabilities`, `tool`, `key`, `health`."""

from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.agents import agent, replies
from tests.support.deploying import write_files


@pytest.mark.requirement("AGT-4")
def test_an_agent_is_stopped_started_and_restarted(echo: RunCli) -> None:
    assert echo("agent", "stop", "echo", "--grace", "1s").out == "echo is stopped\n"
    assert echo("agent", "show", "echo", "--json").data["state"] == "Stopped"
    assert "stopped" in echo("agent", "list").out
    assert echo("agent", "start", "echo").out == "echo is running\n"
    assert echo("agent", "restart", "echo", "--grace", "0").out == "echo is running\n"
    assert echo("agent", "show", "echo", "--json").data["state"] == "Running"


@pytest.mark.requirement("AGT-4")
def test_a_transition_that_is_not_legal_is_refused(echo: RunCli) -> None:
    echo("agent", "stop", "echo", "--grace", "0")
    outcome = echo("agent", "stop", "echo")
    assert outcome.code in (0, 7)
    assert "stopped" in outcome.out + outcome.err


def test_an_unknown_agent_brings_the_one_that_was_meant(echo: RunCli) -> None:
    outcome = echo("agent", "show", "eco")
    assert outcome.code == 4
    assert outcome.err.startswith('error: there is no agent "eco"')
    assert "echo" in outcome.err.partition("\n")[2]


def test_what_is_no_agent_is_told_as_what_it_is(charts: RunCli, folder: Path) -> None:
    write_files(folder, agent("repeater", capabilities='["repeat"]', rules=replies("{{ request }}")))
    assert charts("deploy").code == 0
    capability = charts("agent", "show", "repeat")
    assert capability.code == 4
    assert '"repeat" is a capability; offered by repeater: caxton agent show repeater' in capability.err
    assert "did you mean" not in capability.err
    assert (
        '"chart-generator" is a tool: caxton tool show chart-generator'
        in charts("agent", "show", "chart-generator").err
    )
    assert '"repeater" is an agent: caxton agent show repeater' in charts("tool", "show", "repeater").err
    asked = charts("ask", "--agent", "repeat", "hello")
    assert '"repeat" is a capability; ask for it: caxton ask repeat "…"' in asked.err


def test_a_wrong_name_in_chat_brings_the_command_that_chats(echo: RunCli) -> None:
    assert "caxton chat echo\n" in echo("chat", "ecko").err
    assert "caxton chat --agent echo\n" in echo("chat", "--agent", "ecko").err
    assert "caxton ask" not in echo("chat", "echo@^9").err


def test_a_time_that_is_none_is_told(echo: RunCli) -> None:
    outcome = echo("agent", "stop", "echo", "--grace", "soon")
    assert outcome.code == 2
    assert '"soon" is not a time' in outcome.err
    assert echo("agent", "show", "echo", "--json").data["state"] == "Running"
    for moment in ("0001-01-01", "yesterday"):
        outcome = echo("events", "list", "--since", moment)
        assert outcome.code in (0, 2)
        assert "something went wrong" not in outcome.err


@pytest.mark.requirement("RTE-3")
def test_capabilities_are_found_with_counts_success_and_time(echo: RunCli) -> None:
    assert "never used" in echo("capabilities").out
    echo("ask", "echo", "hello")
    found = echo("capabilities", "ech").out
    assert "1 call, 100 % ok, " in found
    statistics = echo("capabilities", "--json").data["capabilities"][0]["statistics"]
    assert statistics["calls"] == statistics["succeeded"] == 1
    assert statistics["mean_ms"] > 0
    nothing = echo("capabilities", "xyzzy")
    assert nothing.code == 0
    assert nothing.out == 'no capability fits "xyzzy"\n'


@pytest.mark.requirement("TOL-1")
def test_a_tool_is_deployed_by_itself_and_listed_with_its_functions(charts: RunCli) -> None:
    assert "bar_chart" in charts("tool", "list").out
    shown = charts("tool", "show", "chart-generator")
    assert "chart-generator.bar_chart" in shown.out
    assert "required" in shown.out
    assert "nothing: no network, no files, no environment" in shown.out
    schema = charts("tool", "show", "chart-generator", "--json").data["functions"][0]["inputSchema"]
    assert schema["type"] == "object"


@pytest.mark.requirement("TOL-1")
def test_a_function_is_called_with_arguments_and_its_file_is_written(charts: RunCli, folder: Path) -> None:
    arguments = '{"title": "Fruit", "labels": ["apples", "pears"], "series": [{"name": "n", "values": [1, 2]}]}'
    called = charts("tool", "call", "chart-generator.bar_chart", "--args", arguments, "--json")
    assert called.code == 0, called.err
    assert not called.data["is_error"]
    assert called.data["usage"]["fuel"] > 0
    (file,) = called.data["files"]
    assert Path(file).parent == folder
    assert Path(file).read_bytes().startswith(b"<svg")
    by_pairs = ["-a", "title=Fruit", "-a", 'labels=["apples"]', "-a", 'series=[{"name": "n", "values": [1]}]']
    assert charts("tool", "call", "chart-generator.bar_chart", *by_pairs).code == 0


@pytest.mark.requirement("TOL-6")
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["chart-generator"], 2, "names no function"),
        (["chart-generator.bar_chart", "--args", "{"], 2, "--args is not JSON"),
        (["chart-generator.bar_chart", "--args", "[]"], 2, "not a JSON object"),
        (["chart-generator.bar_chart", "-a", "title"], 2, "KEY=VALUE"),
        (
            [
                "chart-generator.bar_chart",
                "--args",
                '{"title": 5, "labels": ["a"], "series": [{"name": "s", "values": [1]}]}',
            ],
            3,
            "title",
        ),
    ],
)
def test_wrong_arguments_never_reach_the_tool(charts: RunCli, arguments: list[str], code: int, told: str) -> None:
    outcome = charts("tool", "call", *arguments)
    assert outcome.code == code, outcome.err
    assert told in outcome.err
    assert "is_error" not in outcome.out


@pytest.mark.requirement("TOL-8")
def test_logs_tell_which_agent_called_a_tool_and_how_it_went(charts: RunCli, folder: Path) -> None:
    agent = 'name = "painter"\nversion = "1.0.0"\ncapabilities = ["paint"]\ntools = ["chart-generator"]\n'
    script = """
[[rules]]
[[rules.steps]]
tool = "chart-generator.bar_chart"
arguments = { title = "Fruit", labels = ["apples"], series = [{ name = "n", values = [1] }] }
[[rules.steps]]
reply = "painted"
"""
    files = {"agents/painter.toml": f'{agent}script = "painter.script.toml"\n', "agents/painter.script.toml": script}
    write_files(folder, dict(files))
    assert charts("deploy").code == 0
    assert charts("ask", "paint", "fruit").out == "painted\n"
    logs = charts("tool", "logs", "chart-generator").out
    assert "painter  bar_chart  ok" in logs
    assert "1 call, 100 % ok" in charts("tool", "list").out
    statistics = charts("tool", "show", "chart-generator", "--json").data["statistics"]
    assert statistics["mean_cpu_ms"] > 0


@pytest.mark.parametrize("name", ["nothing", "chart-generater"])
def test_an_unknown_tool_is_told(charts: RunCli, name: str) -> None:
    for command in (["show", name], ["logs", name], ["call", f"{name}.x"]):
        outcome = charts("tool", *command)
        assert outcome.code in (4, 8)
        assert name in outcome.err


def test_a_function_that_the_tool_lacks_is_told_with_those_that_it_has(charts: RunCli) -> None:
    outcome = charts("tool", "call", "chart-generator.donut")
    assert outcome.code != 0
    assert "bar_chart" in outcome.err


def test_a_folder_without_a_tool_is_told(run_cli: RunCli, folder: Path) -> None:
    outcome = run_cli("tool", "deploy", str(folder))
    assert outcome.code in (3, 4)
    assert "tool.toml" in outcome.err


@pytest.mark.requirement("SRV-3")
def test_health_tells_of_every_component(run_cli: RunCli) -> None:
    outcome = run_cli("health")
    assert outcome.code == 0
    for component in ("engine", "store", "worker", "memory"):
        assert f"✓  {component}" in outcome.out
    assert run_cli("health", "--json").data["status"] == "ready"


def test_a_key_is_made_used_and_revoked(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, workspace: str) -> None:
    key = run_cli("key", "create", f"{workspace}-viewer", "--role", "viewer", "--json").data
    assert key["key"] not in run_cli("key", "list").out
    admin = monkeypatch.context
    with admin() as as_viewer:
        as_viewer.setenv("CAXTON_API_KEY", key["key"])
        assert run_cli("agent", "list").code == 0
        refused = run_cli("key", "list")
        assert refused.code == 6
    assert run_cli("key", "revoke", key["id"]).out == f"{key['id']} is revoked\n"
    monkeypatch.setenv("CAXTON_API_KEY", key["key"])
    outcome = run_cli("agent", "list")
    assert outcome.code == 6
    assert key["key"] not in outcome.err


def test_in_a_pipe_a_new_key_is_printed_alone(run_cli: RunCli, workspace: str) -> None:
    made = run_cli("key", "create", workspace)
    assert made.out.startswith("cx_")
    assert made.out.count("\n") == 1


def test_a_role_that_does_not_exist_is_told(run_cli: RunCli) -> None:
    outcome = run_cli("key", "create", "x", "--role", "king")
    assert outcome.code in (2, 3)
    assert "developer" in outcome.err


def test_the_administrator_makes_the_first_key_of_another_customer(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, workspace: str
) -> None:
    key = run_cli("key", "create", "first", "--role", "admin", "--customer", workspace, "--json").data
    assert key["customer"] == workspace
    monkeypatch.setenv("CAXTON_API_KEY", key["key"])
    assert [known["name"] for known in run_cli("key", "list", "--json").data["keys"]] == ["first"]
    assert run_cli("key", "create", "x", "--customer", "local").code == 6
