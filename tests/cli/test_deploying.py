"""`caxton deploy`, `status`, `deployments`, `rollback`."""

import os
import shutil
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import RunCli, went_off
from tests.cli.terminal import Terminal
from tests.support.deploying import ECHO, write_files
from tests.support.waiting import until


def edit(file: Path, old: str, new: str) -> None:
    """Replaces `old` in `file`."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def second(folder: Path) -> None:
    """Adds an agent "echo-two" that offers the same."""
    text = ECHO["agents/echo.toml"].replace('"echo"\nversion', '"echo-two"\nversion')
    write_files(folder, {"agents/echo-two.toml": text})


@pytest.mark.requirement("DEP-1")
def test_deploy_shows_what_it_does_and_sums_up(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    first = run_cli("deploy", "-m", "the first")
    assert first.code == 0
    assert "Deploying 1 of 1 agent to local/" in first.out
    assert "✓ echo  1.0.0  echo" in first.out
    assert "Deployed 1 in " in first.out
    second(folder)
    edit(folder / "agents/echo.toml", "1.0.0", "1.1.0")
    again = run_cli("deploy")
    assert "1.0.0 → 1.1.0" in again.out
    assert "Deployed 1, updated 1 in " in again.out
    listed = run_cli("deployments", "list")
    assert "the first" in listed.out
    assert "deployed 1, updated 1" in listed.out


@pytest.mark.requirement("DEP-1")
def test_dry_run_shows_the_plan_and_changes_nothing(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    plan = run_cli("deploy", "--dry-run")
    assert plan.code == 0
    assert "+ echo  new  1.0.0" in plan.out
    assert "Nothing was changed." in plan.out
    as_json = run_cli("deploy", "--dry-run", "--json").data
    assert as_json["dry_run"]
    assert [change["action"] for change in as_json["changes"]] == ["new"]
    assert run_cli("agent", "list", "--json").data == {"agents": []}
    assert run_cli("deployments", "list", "--json").data == {"deployments": []}


@pytest.mark.requirement("DEP-2")
def test_what_is_unchanged_stays_untouched(echo: RunCli, folder: Path) -> None:
    before = echo("agent", "show", "echo", "--json").data
    again = echo("deploy")
    assert again.code == 0
    assert "Nothing to deploy: 1 agent is as on the server" in again.out
    second(folder)
    deployed = echo("deploy", "--json").data
    assert deployed["summary"] == {"deployed": 1, "updated": 0, "removed": 0, "unchanged": 1}
    after = echo("agent", "show", "echo", "--json").data
    assert after["deployment_id"] == before["deployment_id"]
    assert after["updated_at"] == before["updated_at"]


@pytest.mark.requirement("DEP-1")
def test_what_is_deleted_here_stays_until_prune_removes_it(echo: RunCli, folder: Path) -> None:
    second(folder)
    echo("deploy")
    (folder / "agents/echo-two.toml").unlink()
    told = echo("status")
    assert "- echo-two  deleted here, still running" in told.out
    assert "caxton deploy --prune" in told.out
    echo("deploy")
    assert len(echo("agent", "list", "--json").data["agents"]) == 2
    pruned = echo("deploy", "--prune")
    assert "removed" in pruned.out.lower()
    assert [agent["name"] for agent in echo("agent", "list", "--json").data["agents"]] == ["echo"]


@pytest.mark.requirement("DEP-4")
def test_status_tells_new_modified_deleted_and_when(echo: RunCli, folder: Path) -> None:
    assert "= 1 unchanged" in echo("status").out
    edit(folder / "agents/echo.toml", "1.0.0", "1.3.0")
    second(folder)
    told = echo("status")
    assert "+ echo-two  new" in told.out
    assert "~ echo" in told.out
    assert "1.0.0 → 1.3.0" in told.out
    assert "last deployed" in told.out
    groups = echo("status", "--json").data
    assert [change["name"] for change in groups["modified"]] == ["echo"]
    assert groups["modified"][0]["last_deployed"]
    assert groups["server"]["reachable"]


@pytest.mark.requirement("DEP-4")
def test_with_the_server_off_status_compares_with_what_is_remembered(
    echo: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder / "agents/echo.toml", "1.0.0", "2.0.0")
    second(folder)
    online = echo("status", "--json").data
    went_off(folder, monkeypatch)
    offline = echo("status", "--json")
    assert offline.code == 0
    assert not offline.data["server"]["reachable"]
    for group in ("new", "modified", "deleted", "unchanged"):
        assert [each["name"] for each in offline.data[group]] == [each["name"] for each in online[group]]
    told = echo("status").out
    assert "1.0.0 → 2.0.0" in told
    assert "(server unreachable: compared with the state cached at " in told
    assert echo("deploy").code == 5


@pytest.mark.requirement("DEP-4")
def test_status_compares_with_nothing_that_another_server_had(echo: RunCli, folder: Path) -> None:
    assert echo("status").code == 0
    outcome = echo("status", "--url", "http://127.0.0.1:1")
    assert outcome.code == 5
    assert outcome.out == ""
    assert "http://127.0.0.1:1 does not answer" in outcome.err


@pytest.mark.requirement("DEP-4")
def test_with_the_server_off_and_nothing_remembered_status_says_so(offline_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    outcome = offline_cli("status")
    assert outcome.code == 5
    assert "caxton serve" in outcome.err


def test_what_is_remembered_stays_out_of_version_control(echo: RunCli, folder: Path) -> None:
    assert (folder / ".caxton/.gitignore").read_text() == "*\n"


@pytest.mark.requirement("DEP-5")
def test_rollback_restores_what_was_there_before(echo: RunCli, folder: Path) -> None:
    edit(folder / "agents/echo.toml", "1.0.0", "1.1.0")
    edit(folder / "agents/echo.script.toml", "you said", "I heard")
    second(folder)
    changed = echo("deploy", "--json").data
    assert echo("ask", "--agent", "echo", "hello").out == "I heard: hello\n"
    undone = echo("rollback")
    assert undone.code == 0, undone.err
    assert f"Undid {changed['id']}" in undone.out
    assert echo("ask", "echo", "hello").out == "you said: hello\n"
    agents = echo("agent", "list", "--json").data["agents"]
    assert [(agent["name"], agent["version"]) for agent in agents] == [("echo", "1.0.0")]
    history = echo("deployments", "list", "--json").data["deployments"]
    assert history[0]["rollback_of"] == changed["id"]
    assert f"undoes {changed['id']}" in echo("deployments", "list").out
    assert echo("deployments", "show", changed["id"]).code == 0
    again = echo("rollback", history[0]["id"])
    assert again.code == 0, again.err
    assert len(echo("agent", "list", "--json").data["agents"]) == 2


@pytest.mark.requirement("DEP-5")
@pytest.mark.parametrize("arguments", [["rollback"], ["rollback", "d_nothing"], ["deployments", "show", "d_nothing"]])
def test_undoing_what_is_not_there_is_told(run_cli: RunCli, arguments: list[str]) -> None:
    outcome = run_cli(*arguments)
    assert outcome.code == 4
    assert outcome.err.startswith("error: there is no deployment")


def test_an_empty_workspace_deploys_nothing(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, {})
    outcome = run_cli("deploy")
    assert outcome.code == 0
    assert "Nothing to deploy" in outcome.out


def test_a_workspace_is_found_from_a_folder_below(echo: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "agents")
    assert echo("status").code == 0
    (folder / "agents/echo.toml").write_text("name = \n")
    outcome = echo("deploy")
    assert outcome.code == 3
    assert "1 │ name =" in outcome.err


def test_files_are_found_when_the_workspace_was_moved(
    echo: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = folder.parent / "moved"
    shutil.copytree(folder, moved)
    monkeypatch.chdir(moved)
    assert "= 1 unchanged" in echo("status").out


def slow(folder: Path) -> None:
    """Adds tools that take seconds to be checked: each has a module of its own to compile."""
    from caxton.definitions.templates import instantiate

    instantiate("data-analyzer", "slow", folder, {})
    module = next((folder / "tools/csv-tools").glob("*.wasm"))
    # An empty custom section of a random name: the same module under another digest, so that it is compiled.
    name = os.urandom(8).hex().encode()
    section = bytes([len(name)]) + name
    module.write_bytes(module.read_bytes() + b"\x00" + bytes([len(section)]) + section)


@pytest.mark.requirement("DEP-1")
def test_ctrl_c_while_the_server_deploys_says_that_it_is_live(run_cli: RunCli, folder: Path, api: httpx.Client) -> None:
    slow(folder)
    terminal = Terminal("deploy", cwd=folder, env=dict(os.environ))
    terminal.wait_for("Deploying")
    until(lambda: api.get("/v1/deployments").json()["deployments"] != [])
    terminal.type("\x03")
    assert terminal.finish() == 130
    assert "the deployment was in progress, and it is live." in terminal.text
    assert "✓" in terminal.text, terminal.text
    (deployment,) = run_cli("deployments", "list", "--json").data["deployments"]
    assert deployment["state"] == "Running"
    assert run_cli("rollback").code == 0


def test_two_ctrl_c_leave_a_deployment_to_the_server_and_say_where_to_look(
    run_cli: RunCli, folder: Path, api: httpx.Client
) -> None:
    slow(folder)
    terminal = Terminal("deploy", cwd=folder, env=dict(os.environ))
    terminal.wait_for("Deploying")
    until(lambda: api.get("/v1/deployments").json()["deployments"] != [])
    terminal.type("\x03")
    terminal.wait_for("Ctrl-C again leaves it alone")
    terminal.type("\x03")
    code = terminal.finish()
    assert code == 130
    assert "caxton deployments" in terminal.text or "it is live" in terminal.text
    assert "Traceback" not in terminal.text


@pytest.mark.requirement("DEP-1")
def test_watching_deploys_each_change_and_survives_mistakes(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    terminal = Terminal("deploy", "--watch", cwd=folder, env=dict(os.environ))
    terminal.wait_for("Deployed 1")
    terminal.wait_for("Watching agents/")
    edit(folder / "agents/echo.toml", "1.0.0", "1.1.0")
    terminal.wait_for("1.0.0 → 1.1.0")
    terminal.wait_for("Watching agents/")
    edit(folder / "agents/echo.toml", '"1.1.0"', '"1.2"')
    terminal.wait_for("is not a semantic version")
    terminal.wait_for("Watching agents/")
    edit(folder / "agents/echo.toml", '"1.2"', '"1.2.0"')
    terminal.wait_for("1.1.0 → 1.2.0")
    terminal.wait_for("Watching agents/")
    terminal.type("\x03")
    assert terminal.finish() == 0
    assert "Stopped watching." in terminal.text
    assert "Traceback" not in terminal.text


def test_after_a_deployment_one_can_ask(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, dict(ECHO))
    terminal = Terminal("deploy", cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 0
    assert 'Next: caxton ask echo "…"' in "\n".join(terminal.lines())
