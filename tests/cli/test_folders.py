"""Folders that deploy to one server: each has a workspace of its own, and nobody replaces another one's work in silence."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, RunCli
from tests.cli.terminal import Terminal
from tests.conftest import RunningServer
from tests.support.deploying import ECHO, write_files


def echo_files(name: str, version: str = "1.0.0") -> dict[str, str | bytes]:
    """Files of an agent that repeats what it is told."""
    text = ECHO["agents/echo.toml"].replace('"echo"\nversion', f'"{name}"\nversion').replace("1.0.0", version)
    return {f"agents/{name}.toml": text, "agents/echo.script.toml": ECHO["agents/echo.script.toml"]}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another folder."""
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


class Folders:
    """Runs `caxton` in several folders."""

    def __init__(self, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run_cli = run_cli
        self.monkeypatch = monkeypatch

    def __call__(self, folder: Path, *arguments: str) -> Outcome:
        self.monkeypatch.chdir(folder)
        return self.run_cli(*arguments)


@pytest.fixture
def run_in(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """`caxton` in a folder, for a server and a workspace that all folders share."""
    return Folders(run_cli, monkeypatch)


def versions(outcome: Outcome) -> dict[str, str]:
    """The agents on the server."""
    return {agent["name"]: agent["version"] for agent in outcome.data["agents"]}


def test_a_new_workspace_is_called_after_its_folder(
    run_cli: RunCli, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAXTON_WORKSPACE")
    shop = other / f"Shop {os.urandom(4).hex()}"
    shop.mkdir()
    monkeypatch.chdir(shop)
    assert run_cli("init", "helper", "--yes").code == 0
    name = shop.name.lower().replace(" ", "-")
    assert f'name = "{name}"' in (shop / "caxton.toml").read_text()
    assert f"local/{name}" in run_cli("deploy").out
    empty = other / f"lab-{os.urandom(4).hex()}"
    empty.mkdir()
    monkeypatch.chdir(empty)
    run_cli("init", "--yes")
    assert "helper" not in run_cli("status").out


def test_what_another_folder_deployed_is_not_called_deleted_here(run_in: Folders, folder: Path, other: Path) -> None:
    write_files(folder, echo_files("echo"))
    run_in(folder, "deploy")
    write_files(other, echo_files("mine"))
    told = run_in(other, "status")
    assert "echo  only on the server" in told.out
    assert str(folder) in told.out
    assert "deleted here" not in told.out
    run_in(other, "deploy")
    nothing = run_in(other, "deploy")
    assert "echo is only on the server" in nothing.out
    assert "deleted" not in nothing.out


@pytest.mark.parametrize("arguments", [["deploy"], ["deploy", "--json"], ["deploy", "--prune"]])
def test_another_folders_agent_is_not_replaced_without_consent(
    run_in: Folders, folder: Path, other: Path, arguments: list[str]
) -> None:
    write_files(folder, echo_files("echo"))
    run_in(folder, "deploy")
    write_files(other, echo_files("echo", "1.1.0"))
    refused = run_in(other, *arguments)
    assert refused.code == 7
    for part in (str(folder), "--yes", "echo"):
        assert part in refused.err
    assert versions(run_in(other, "agent", "list", "--json")) == {"echo": "1.0.0"}
    assert str(folder) in run_in(other, "deploy", "--dry-run").err
    assert run_in(other, "deploy", "--yes").code == 0
    assert run_in(other, "deploy").code == 0
    assert run_in(folder, "deploy").code == 7


def test_prune_does_not_remove_what_other_folders_deployed(run_in: Folders, folder: Path, other: Path) -> None:
    write_files(folder, {**echo_files("one"), **echo_files("two")})
    run_in(folder, "deploy")
    write_files(other, echo_files("mine"))
    refused = run_in(other, "deploy", "--prune")
    assert refused.code == 7
    assert "one (deployed from" in refused.err
    assert versions(run_in(other, "agent", "list", "--json")).keys() == {"one", "two"}
    assert run_in(other, "deploy", "--prune", "--yes").code == 0
    assert versions(run_in(other, "agent", "list", "--json")).keys() == {"mine"}


def test_a_version_that_is_newer_on_the_server_is_not_replaced_in_silence(
    run_in: Folders, folder: Path, other: Path
) -> None:
    write_files(folder, {**echo_files("echo", "2.0.0"), "caxton.toml": '[workspace]\nid = "shop"\n'})
    run_in(folder, "deploy")
    write_files(other, {**echo_files("echo", "1.9.0"), "caxton.toml": '[workspace]\nid = "shop"\n'})
    refused = run_in(other, "deploy")
    assert refused.code == 7
    assert "2.0.0 on the server is newer than 1.9.0 here" in refused.err
    write_files(other, echo_files("echo", "2.1.0") | {"caxton.toml": '[workspace]\nid = "shop"\n'})
    assert run_in(other, "deploy").code == 0


def test_what_somebody_changed_since_the_last_deployment_from_here_is_not_replaced_in_silence(
    run_in: Folders, folder: Path, other: Path
) -> None:
    write_files(folder, {**echo_files("echo"), "caxton.toml": '[workspace]\nid = "shop"\n'})
    run_in(folder, "deploy")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    script = other / "agents/echo.script.toml"
    script.write_text(script.read_text().replace("you said", "I heard"))
    assert run_in(other, "deploy").code == 0
    run_in(folder, "status")  # looking is not agreeing
    script = folder / "agents/echo.script.toml"
    script.write_text(script.read_text().replace("you said", "they said"))
    refused = run_in(folder, "deploy")
    assert refused.code == 7
    assert "changed on the server" in refused.err
    assert run_in(folder, "deploy", "--yes").code == 0
    script.write_text(script.read_text().replace("they said", "we said"))
    assert run_in(folder, "deploy").code == 0


def test_a_rollback_from_here_is_no_surprise_here(run_in: Folders, folder: Path) -> None:
    write_files(folder, echo_files("echo"))
    run_in(folder, "deploy")
    script = folder / "agents/echo.script.toml"
    text = script.read_text()
    script.write_text(text.replace("you said", "I heard"))
    run_in(folder, "deploy")
    assert run_in(folder, "rollback").code == 0
    assert run_in(folder, "deploy").code == 0
    shutil.rmtree(folder / "agents")
    pruned = run_in(folder, "deploy", "--prune")
    assert pruned.code == 0, pruned.err


def test_one_tool_is_deployed_with_the_same_care(run_in: Folders, folder: Path, other: Path) -> None:
    import caxton

    bundled = Path(caxton.__file__).parent / "bundled/tools/csv-tools"
    for place in (folder, other):
        write_files(place, {})
        shutil.copytree(bundled, place / "tools/csv-tools")
    run_in(folder, "deploy")
    manifest = other / "tools/csv-tools/tool.toml"
    manifest.write_text(manifest.read_text() + "\n# another\n")
    refused = run_in(other, "tool", "deploy", "tools/csv-tools")
    assert refused.code == 7
    assert "caxton tool deploy tools/csv-tools --yes" in refused.err
    assert run_in(other, "tool", "deploy", "tools/csv-tools", "--yes").code == 0


@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_removal_is_asked_for(
    run_cli: RunCli, folder: Path, caxton_server: RunningServer, answer: str
) -> None:
    write_files(folder, {**echo_files("one"), **echo_files("two")})
    run_cli("deploy")
    (folder / "agents/two.toml").unlink()
    terminal = Terminal("deploy", "--prune", cwd=folder, env=dict(os.environ))
    terminal.wait_for("Remove two on the server?")
    terminal.type(f"{answer}\r")
    code = terminal.finish()
    left = versions(run_cli("agent", "list", "--json")).keys()
    assert (code, left) == ((0, {"one"}) if answer == "y" else (1, {"one", "two"}))


def test_on_a_terminal_replacing_is_asked_for(
    run_in: Folders, folder: Path, other: Path, caxton_server: RunningServer
) -> None:
    write_files(folder, {**echo_files("one"), **echo_files("two")})
    run_in(folder, "deploy")
    write_files(other, echo_files("one", "1.1.0"))
    terminal = Terminal("deploy", "--prune", cwd=other, env=dict(os.environ))
    terminal.wait_for("two: deployed from")
    terminal.wait_for("Replace one and remove two on the server?")
    terminal.type("y\r")
    assert terminal.finish() == 0
    assert versions(run_in(folder, "agent", "list", "--json")) == {"one": "1.1.0"}


@pytest.mark.requirement("DEP-5")
def test_what_another_folder_deployed_is_undone_by_its_id_only(run_in: Folders, folder: Path, other: Path) -> None:
    write_files(folder, echo_files("echo"))
    run_in(folder, "deploy")
    write_files(other, echo_files("mine"))
    refused = run_in(other, "rollback")
    assert refused.code == 7
    assert str(folder) in refused.err
    deployed = run_in(other, "deployments", "list", "--json").data["deployments"][0]["id"]
    assert f"caxton rollback {deployed}" in refused.err
    assert run_in(other, "rollback", deployed).code == 0
    assert versions(run_in(other, "agent", "list", "--json")) == {}


@pytest.mark.requirement("DEP-5")
def test_a_second_rollback_says_that_somebody_was_quicker(run_in: Folders, folder: Path) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        write_files(folder, echo_files("echo", version))
        run_in(folder, "deploy")
    assert run_in(folder, "rollback").code == 0
    second = run_in(folder, "rollback")
    assert second.code == 7
    assert "nothing was undone: deployment d_" in second.err
    assert second.err.count("caxton rollback d_") == 2
    assert versions(run_in(folder, "agent", "list", "--json")) == {"echo": "1.1.0"}


@pytest.mark.requirement("DEP-5")
def test_of_two_rollbacks_at_the_same_moment_one_is_done(
    run_cli: RunCli, folder: Path, caxton_server: RunningServer, workspace: str
) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        write_files(folder, echo_files("echo", version))
        run_cli("deploy")
    latest = run_cli("deployments", "list", "--json").data["deployments"][0]["id"]
    answers: list[int] = []

    def undo() -> None:
        with caxton_server.client(workspace) as client:
            answers.append(client.post(f"/v1/deployments/{latest}/rollback", json={}).status_code)

    both = [threading.Thread(target=undo) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(answers) == [201, 409]
    history = run_cli("deployments", "list", "--json").data["deployments"]
    assert [each["state"] for each in history if each["rollback_of"]].count("Running") == 1
    assert versions(run_cli("agent", "list", "--json")) == {"echo": "1.1.0"}


def test_what_only_the_server_offers_is_no_warning(run_in: Folders, folder: Path, other: Path) -> None:
    write_files(folder, echo_files("echo"))
    run_in(folder, "deploy")
    asker = ECHO["agents/echo.toml"].replace('"echo"\nversion', '"asker"\nversion').replace('["echo"]', '["ask"]')
    asker = asker.replace("model =", 'delegates = ["echo", "ecko"]\nmodel =')
    write_files(other, {**echo_files("asker"), "agents/asker.toml": asker})
    for command in ("validate", "deploy"):
        told = run_in(other, command)
        assert told.code == 0
        assert '"echo"\n' not in told.err
        assert 'no agent offers the capability "ecko"' in told.err
        assert 'did you mean "echo"?' in told.err
