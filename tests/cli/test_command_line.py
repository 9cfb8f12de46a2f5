"""What all commands have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from caxton.cli.app import build
from caxton.cli.commands import COMMANDS
from caxton.domain.errors import error_classes
from tests.cli.conftest import RunCli, went_off


def in_process(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the real command."""
    command = [sys.executable, "-m", "caxton", *arguments]
    environment = {**os.environ, **(env or {})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command_and_needs_no_import_of_it(folder: Path) -> None:
    overview = in_process("--help", cwd=folder)
    assert overview.returncode == 0
    assert all(f"  {name} " in overview.stdout for name in COMMANDS)
    code = "import sys; from caxton.cli.commands import overview; overview(); print('typer' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"


def test_without_arguments_the_same_overview_is_shown(folder: Path) -> None:
    assert in_process(cwd=folder).stdout == in_process("--help", cwd=folder).stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_the_common_options(offline_cli: RunCli, name: str) -> None:
    shown = offline_cli(name, "--help")
    assert shown.code == 0
    assert "Usage: caxton" in shown.out
    group = getattr(build(eager=True).commands[name], "commands", None)
    if group is None:
        assert "--json" in shown.out
        return
    for below in group:
        assert "--json" in offline_cli(name, below, "--help").out


def test_commands_do_not_load_the_engine_the_models_or_the_sandbox(folder: Path) -> None:
    code = (
        "import sys; from caxton.cli.app import build; build(eager=True);"
        "print([name for name in ('temporalio', 'pydantic_ai', 'wasmtime', 'fastapi', 'httpx') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.requirement("ERR-1")
@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["agnet", "list"], "caxton agent"), (["depoy"], "caxton deploy"), (["key", "lst"], "key list")],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    offline_cli: RunCli, typed: list[str], meant: str
) -> None:
    outcome = offline_cli(*typed)
    assert outcome.code == 2
    assert outcome.err.startswith('error: unknown command "')
    assert "did you mean" in outcome.err
    assert meant in outcome.err


@pytest.mark.parametrize(
    "typed", [["ask", "--nonsense"], ["rollback", "a", "b"], ["deployments", "list", "-n", "many"]]
)
def test_what_is_not_understood_is_told_in_two_lines_with_exit_code_2(offline_cli: RunCli, typed: list[str]) -> None:
    outcome = offline_cli(*typed)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert f"caxton {typed[0]}" in outcome.err
    assert "--help" in outcome.err


@pytest.mark.requirement("ERR-1")
def test_with_json_an_error_has_code_message_hints_and_help(offline_cli: RunCli) -> None:
    outcome = offline_cli("agent", "list", "--json", "--url", "http://127.0.0.1:1")
    assert outcome.out == ""
    error = outcome.error
    assert error["code"] == "server_unreachable"
    assert error["exit_code"] == outcome.code == 5
    assert error["message"]
    assert {"text": "start it", "command": "caxton serve"} in error["hints"]
    assert error["help"].endswith("#server_unreachable")


def test_every_exit_code_is_one_that_the_documentation_explains() -> None:
    from caxton.cli import errors

    assert errors.__doc__
    for error_class in error_classes().values():
        assert f"| {error_class.exit_code} |" in errors.__doc__


def test_only_debug_shows_a_traceback(offline_cli: RunCli) -> None:
    plain = offline_cli("agent", "list", "--url", "http://127.0.0.1:1")
    assert "Traceback" not in plain.err
    assert "Traceback" in offline_cli("agent", "list", "--url", "http://127.0.0.1:1", "--debug").err


def test_a_reader_who_stops_reading_is_no_error(folder: Path) -> None:
    command = f"{sys.executable} -m caxton config schema | head -c 1; echo ${{PIPESTATUS[0]}}"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, check=True)
    assert shown.stderr == ""


def test_version_works_without_a_server_and_tells_of_one(offline_cli: RunCli) -> None:
    alone = offline_cli("version", "--json")
    assert alone.code == 0
    assert alone.data["server"] is None


def test_version_tells_of_the_server(run_cli: RunCli) -> None:
    told = run_cli("version", "--json").data
    assert told["server"] == told["caxton"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_and_installs_it(offline_cli: RunCli, shell: str, tmp_path: Path) -> None:
    script = offline_cli("completion", shell)
    assert script.code == 0
    assert "_CAXTON_COMPLETE" in script.out
    installed = offline_cli("completion", shell, "--install", "--json").data
    assert Path(installed["file"]).is_relative_to(tmp_path)
    assert Path(installed["file"]).read_text().strip() == script.out.strip()


def complete(words: str, env: dict[str, str], cwd: Path) -> list[str]:
    """What bash would offer after `words`."""
    asked = {"_CAXTON_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return in_process(cwd=cwd, env={**env, **asked}).stdout.split()


def test_the_shell_completes_commands_and_names(echo: RunCli, folder: Path) -> None:
    assert complete("caxton dep", {}, folder) == ["deploy", "deployments"]
    assert complete("caxton ask ec", {}, folder) == ["echo"]
    assert complete("caxton agent show ", {}, folder) == ["echo"]


def test_without_the_server_the_shell_completes_from_what_is_remembered(
    echo: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete("caxton ask ec", {"CAXTON_URL": "http://127.0.0.1:2"}, folder) == []  # another server
    went_off(folder, monkeypatch)
    assert complete("caxton ask ec", {}, folder) == ["echo"]


def test_json_output_is_one_document_and_nothing_else(echo: RunCli) -> None:
    for command in (
        ["agent", "list"],
        ["agent", "show", "echo"],
        ["capabilities"],
        ["tool", "list"],
        ["deployments", "list"],
        ["conversation", "list"],
        ["key", "list"],
        ["status"],
        ["validate"],
        ["config", "show"],
        ["health"],
    ):
        outcome = echo(*command, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.err == ""
        json.loads(outcome.out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["budgets", "set", "tokens", "many"], "must be a number"),
        (["budgets", "set", "tokens", "--", "-5"], "must be at least 0"),
        (["conversation", "list", "-n", "0"], "must be at least 1"),
        (["conversation", "show", "c bad id"], "has characters that are not allowed in it"),
        (["memory", "add", ""], "must not be empty"),
        (
            ["role", "set", "support", "--allow", "messages:sent"],
            '--allow: "messages:sent" is not known; did you mean "messages:send"?',
        ),
        (
            ["metrics", "define", "leads", "--count", "execution_completed", "--where", "agnt=x"],
            'did you mean "agent"?',
        ),
        (
            ["tool", "grant", "weather", "--expires", "soon", "--environment", "HOME"],
            "--expires: a duration is a number with a unit",
        ),
        (["tool", "grant", "weather", "--limit", "colour=red"], '--limit: there is no limit "colour"'),
        (["tool", "grant", "weather", "--network", "example.com"], '--network: "example.com" is not an origin'),
        (["tool", "grant", "weather", "--environment", "A=B"], '--environment: "A=B" is not the name of a variable'),
        (["tool", "grant", "weather"], "a grant names at least one of"),
    ],
)
def test_what_is_not_valid_is_told_in_plain_words(run_cli: RunCli, arguments: list[str], said: str) -> None:
    outcome = run_cli(*arguments)
    assert outcome.code in (2, 3)
    assert said in outcome.err
    for raw in ("Input should", "String should", "Extra inputs", "pydantic"):
        assert raw not in outcome.err


def test_a_closed_output_is_no_traceback(run_cli: RunCli) -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = f"{sys.executable} -m caxton capabilities {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ}, check=False)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["config", "show"], ["--help"]])
def test_an_output_that_takes_nothing_more_is_told_once(offline_cli: RunCli, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "caxton", *command], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 5
    assert done.stderr.count("the output cannot be written") == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_a_head_of_the_log_has_a_form(run_cli: RunCli) -> None:
    for wrong in ("abc", "12:abc", "!"):
        refused = run_cli("events", "verify", "--expect", wrong)
        assert refused.code == 3
        assert f'"{wrong}" is not SEQUENCE:HASH' in refused.err


def test_completion_without_a_shell_asks_for_one(offline_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHELL", raising=False)
    refused = offline_cli("completion")
    assert refused.code == 2
    assert "caxton completion bash" in refused.err


def test_a_long_reason_of_a_deployment_is_refused_before_it_travels(echo: RunCli) -> None:
    refused = echo("deploy", "-m", "x" * 501)
    assert refused.code == 2
    assert "500 are allowed" in refused.err
