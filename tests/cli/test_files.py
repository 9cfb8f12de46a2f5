"""Files that go with a request, on the command line."""

import io
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.agents import agent, replies
from tests.support.deploying import write_files
from tests.support.files import CSV, PNG

LISTS = "{{ request }} {% for file in files %}{{ file.name }}={{ file.media_type }} {% endfor %}"


@pytest.mark.requirement("MSG-12")
def test_files_go_along(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, agent("clerk", rules=replies(LISTS)))
    assert run_cli("deploy").code == 0
    (folder / "p.png").write_bytes(PNG)
    (folder / "s.csv").write_bytes(CSV)
    (folder / "x.bin").write_bytes(b"\0\1\2")
    done = run_cli("ask", "clerk", "File this", "--file", "p.png", "--file", "s.csv")
    assert "File this p.png=image/png s.csv=text/csv" in done.out, done.err
    contents = run_cli("trace", "--last", "--contents").out
    assert f"[p.png, image/png, {len(PNG)} B]" in contents
    alone = run_cli("ask", "clerk", "--file", "p.png")
    assert "p.png=image/png" in alone.out, alone.err
    refused = run_cli("ask", "clerk", "File this", "--file", "x.bin")
    assert refused.code == 2
    assert "of no type that is taken" in refused.err
    (folder / "empty.txt").touch()
    assert "empty.txt: it is empty" in run_cli("ask", "clerk", "--file", "empty.txt").err
    missing = run_cli("ask", "clerk", "File this", "--file", "nothing.png")
    assert "no such file" in missing.err


@pytest.mark.requirement("MSG-12")
def test_a_file_goes_with_the_next_message_of_a_chat(
    run_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(folder, agent("clerk", rules=replies(LISTS)))
    assert run_cli("deploy").code == 0
    (folder / "p.png").write_bytes(PNG)
    monkeypatch.setattr("sys.stdin", io.StringIO("/file p.png\nFirst\nSecond\n"))
    talked = run_cli("chat", "clerk")
    assert talked.out == "First p.png=image/png \nSecond \n", talked.err
    conversation = run_cli("conversation", "list", "--json").data["conversations"][0]["id"]
    assert f"[p.png, image/png, {len(PNG)} B]" in run_cli("conversation", "show", conversation).out
