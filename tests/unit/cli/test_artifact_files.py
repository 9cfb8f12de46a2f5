"""Files that tools made are written where the user said, under names that are harmless, over nothing else."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caxton.cli.artifacts import safe_name, write


@given(st.text())
@example("../../etc/passwd")
@example("C:\\Windows\\system32")
@example("con.svg")
@example("\u202egvs.exe")
@example("." * 300)
@example("ü" * 300 + ".svg")
@example("readme." + "ü" * 300)
@example("caxton.toml")
@example("con.txt.exe")
def test_any_name_becomes_the_name_of_a_file_in_the_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('/\\\0<>:"|?*\n\r\t')
    assert safe.isprintable()
    assert not safe.startswith((".", "-"))
    assert len(safe.encode()) <= 150
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("given_name", "written"),
    [
        ("sales-by-month.svg", "sales-by-month.svg"),
        ("Umsatz 2025 (Q1).svg", "Umsatz-2025-(Q1).svg"),
        ("../secret.txt", "secret.txt"),
        ("a/b/c.csv", "c.csv"),
        ("...", "artifact.bin"),
        ("NUL.txt", "artifact-NUL.txt"),
        ("x\x1b[31m.svg", "x-[31m.svg"),
    ],
)
def test_names_stay_readable(given_name: str, written: str) -> None:
    assert safe_name(given_name) == written


@pytest.mark.requirement("SEC-4")
@pytest.mark.parametrize(
    ("given_name", "written"),
    [
        ("caxton.toml", "caxton.toml.bin"),
        ("conftest.py", "conftest.py.bin"),
        ("Makefile", "Makefile.bin"),
        (".envrc", "envrc.bin"),
        ("agents", "artifact-agents.bin"),
        ("package.json", "artifact-package.json"),
        ("Requirements.txt", "artifact-Requirements.txt"),
        ("AGENTS.md", "artifact-AGENTS.md"),
        ("con.exe", "artifact-con.exe.bin"),
        ("run.SH", "run.SH.bin"),
    ],
)
def test_no_file_has_a_name_that_a_program_takes_settings_or_code_from(given_name: str, written: str) -> None:
    assert safe_name(given_name) == written


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    assert write(tmp_path, "a.svg", b"1") == write(tmp_path, "a.svg", b"1") == tmp_path / "a.svg"
    assert [file.name for file in tmp_path.iterdir()] == ["a.svg"]


def test_another_content_gets_a_number_and_nothing_is_overwritten(tmp_path: Path) -> None:
    written = [write(tmp_path, "a.svg", content).name for content in (b"1", b"2", b"3", b"2")]
    assert written == ["a.svg", "a-2.svg", "a-3.svg", "a-2.svg"]
    assert (tmp_path / "a.svg").read_bytes() == b"1"


def test_force_replaces(tmp_path: Path) -> None:
    write(tmp_path, "a.svg", b"1")
    assert write(tmp_path, "a.svg", b"2", force=True).read_bytes() == b"2"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("force", [False, True])
def test_a_symbolic_link_leads_nowhere_else(tmp_path: Path, force: bool) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.svg").symlink_to(target)
    assert write(out, "a.svg", b"1", force=force).name == "a-2.svg"
    assert target.read_bytes() == b"precious"


def test_a_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.svg").mkdir()
    assert write(tmp_path, "a.svg", b"1", force=True).name == "a-2.svg"
