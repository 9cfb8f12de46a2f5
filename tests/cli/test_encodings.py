"""Bytes that are not UTF-8, byte order marks, and arguments whose type the schema decides."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.deploying import ECHO, write_files
from tests.support.modules import component
from tests.support.tools import bundled_tool

MARK = b"\xef\xbb\xbf"


@pytest.mark.requirement("SRV-4")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_every_command_reads_a_configuration_with_a_byte_order_mark(
    run_cli: RunCli, folder: Path, encoding: str
) -> None:
    files = {name: str(text).replace("\n", "\r\n").encode(encoding) for name, text in ECHO.items()}
    write_files(folder, {**files, "caxton.toml": '[workspace]\r\nname = "elsewhere"\r\n'.encode(encoding)})
    for command in (["validate"], ["deploy", "--yes"], ["ask", "echo", "hi"], ["config", "show"], ["health"]):
        done = run_cli(*command)
        assert done.code == 0, (command, done.err)


def test_a_mistake_in_the_configuration_is_told_alike_by_all(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, {**ECHO, "caxton.toml": "\ufeff[workspace\n"})
    for command in (["ask", "echo", "hi"], ["agent", "list"]):
        done = run_cli(*command)
        assert done.code == 3, (command, done.err)
        assert "caxton.toml:1:1: the header has no closing ]" in done.err


@pytest.mark.parametrize(("content", "code"), [(b"caf\xe9", 2), (MARK + b"coffee", 0), ("Zoë".encode("utf-16"), 0)])
def test_standard_input_is_text_or_refused_in_words(
    echo: RunCli, monkeypatch: pytest.MonkeyPatch, content: bytes, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape"))
    done = echo("ask", "echo", "-")
    assert done.code == code, done.err
    if code:
        assert done.err.startswith("error: standard input is not UTF-8 text (at byte 4)")
    else:
        assert "\ufeff" not in done.out


def test_a_line_of_a_chat_is_text_or_refused_in_words(echo: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8", errors="surrogateescape")
    )
    done = echo("chat", "echo")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: standard input is not UTF-8 text")


def test_an_argument_is_text_or_refused_in_words(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "caxton", "ask", "echo", b"caf\xe9"], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: argument 3 is not UTF-8 text (at character 4)")


def test_a_byte_order_mark_in_a_script_or_manifest_is_no_matter(run_cli: RunCli, folder: Path) -> None:
    files = bundled_tool("csv-tools")
    manifest = files["tools/csv-tools/tool.toml"]
    assert isinstance(manifest, bytes)
    write_files(folder, {**files, "tools/csv-tools/tool.toml": MARK + manifest})
    assert run_cli("validate").code == 0


@pytest.mark.requirement("TOL-1")
def test_the_schema_decides_what_an_argument_is(run_cli: RunCli, folder: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "maybe": {"type": ["string", "null"]},
            "kind": {"enum": ["1", "2"]},
            "either": {"anyOf": [{"$ref": "#/$defs/name"}, {"type": "boolean"}]},
            "count": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
        "$defs": {"name": {"type": "string"}},
    }
    manifest = 'name = "typed"\nversion = "1.0.0"\nmodule = "m.wasm"\n'
    write_files(folder, {"tools/typed/tool.toml": manifest, "tools/typed/m.wasm": component(schemas=[schema])})
    assert run_cli("deploy").code == 0
    given = [
        "text=12345",
        "maybe=1.5",
        "kind=2",
        "either=007",
        "either=12",
        "count=3",
        'list=["a"]',
        "text=true",
        'text={"a":1}',
    ]
    for pair in given:
        done = run_cli("tool", "call", "typed.run", "-a", pair)
        assert done.code == 0, (pair, done.err)
    assert run_cli("tool", "call", "typed.run", "-a", "count=x").code == 3
