"""Texts with characters that some readers take for the end of a line come through whole: lines end where the protocol says."""

import json
from pathlib import Path

import pytest

from caxton.client import Caxton
from tests.cli.conftest import RunCli
from tests.conftest import RunningServer

SEPARATORS = ("\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e")
TEXT = "".join(f"{number}{character}" for number, character in enumerate(SEPARATORS)) + "end"


@pytest.mark.requirement("MEM-7")
def test_a_backup_of_memories_comes_back_whole(run_cli: RunCli, folder: Path) -> None:
    added = [run_cli("memory", "add", f"a{character}b {number}") for number, character in enumerate(SEPARATORS[:3])]
    assert [each.code for each in added] == [0, 0, 0]
    assert run_cli("memory", "export", "--out", "backup.ndjson").code == 0
    printed = run_cli("memory", "export").out.splitlines()  # also where a reader splits at all of them
    assert [json.loads(line) for line in printed] == [
        json.loads(line) for line in (folder / "backup.ndjson").read_text().split("\n")[:-1]
    ]
    assert run_cli("memory", "purge", "--for-good", "--yes").code == 0
    # A file that other programs wrote again: the characters as they are, a byte order mark, CRLF.
    lines = [json.dumps(json.loads(line), ensure_ascii=False) for line in printed]
    (folder / "backup.ndjson").write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    brought = run_cli("memory", "import", "backup.ndjson")
    assert brought.code == 0, brought.err
    texts = {each["observations"][0] for each in run_cli("memory", "list", "--json").data["memories"]}
    assert texts == {f"a{character}b {number}" for number, character in enumerate(SEPARATORS[:3])}


@pytest.mark.requirement("MSG-7")
def test_a_reply_is_not_cut(echo: RunCli, caxton_server: RunningServer, workspace: str) -> None:
    asked = echo("ask", "echo", TEXT)
    assert asked.code == 0, asked.err
    assert asked.out.removesuffix("\n").endswith(TEXT)
    assert echo("ask", "echo", TEXT, "--json").data["text"].endswith(TEXT)
    with Caxton(caxton_server.url, api_key=caxton_server.api_key, workspace=workspace) as caxton:
        turn = caxton.ask(TEXT, capability="echo")
        last = list(caxton.stream(turn.execution_id))[-1]
        assert last.turn().execution_id == turn.execution_id
        exported = list(caxton.export(everything=True))
    assert all(json.loads(line)["event_type"] for line in exported)
