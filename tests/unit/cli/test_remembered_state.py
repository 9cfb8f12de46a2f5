"""What is remembered of the server."""

from pathlib import Path

import pytest

from caxton.cli.state import ServerState, recall, save

STATE = ServerState("default", "http://h", components=[{"kind": "agent", "name": "a"}], capabilities=["c"])


def recalled(folder: Path) -> ServerState | None:
    """What is remembered of the server and workspace of `STATE`."""
    return recall(folder, STATE.workspace, STATE.url)


@pytest.mark.requirement("DEP-4")
def test_what_is_saved_is_recalled_for_its_workspace_and_server_only(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    found = recalled(tmp_path)
    assert found is not None
    assert (found.components, found.capabilities) == (STATE.components, STATE.capabilities)
    assert found.when.tzinfo is not None
    assert recall(tmp_path, "other", STATE.url) is None
    assert recall(tmp_path, STATE.workspace, "http://other") is None


def test_it_is_kept_out_of_version_control(tmp_path: Path) -> None:
    save(tmp_path, STATE)
    assert (tmp_path / ".caxton/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"workspace": "default"}', '{"format": 99}', "\0"])
def test_a_broken_memory_is_none(tmp_path: Path, text: str) -> None:
    save(tmp_path, STATE)
    (tmp_path / ".caxton/state.json").write_text(text)
    assert recalled(tmp_path) is None


def test_nothing_was_remembered(tmp_path: Path) -> None:
    assert recalled(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / ".caxton").write_text("a file is in the way")
    save(tmp_path, STATE)
    assert recalled(tmp_path) is None
