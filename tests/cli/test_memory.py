"""`caxton memory` at the command line."""

import json
from pathlib import Path

import pytest

from caxton.cli.memory_values import command_there
from tests.cli.conftest import RunCli

FACTS = (("Anna drinks tea", "habit"), ("The kitchen is closed on Fridays", "place"), ("Bert drinks tea", "habit"))


@pytest.fixture
def ids(run_cli: RunCli) -> list[str]:
    """Three facts."""
    return [run_cli("memory", "add", text, "--set", f"kind={kind}").out.strip() for text, kind in FACTS]


@pytest.mark.requirement("MEM-7")
def test_a_purge_shows_what_would_go_goes_and_is_undone(run_cli: RunCli, ids: list[str]) -> None:
    shown = run_cli("memory", "purge", "--where", "kind=habit").out
    assert shown.splitlines()[0] == "2 memories would be removed"
    assert "Anna drinks tea" in shown
    assert run_cli("memory", "purge", "--where", "kind=habit", "--yes").out == "2 memories removed\n"
    assert run_cli("memory", "search", "who drinks tea", "--mode", "text").out == "nothing was found\n"
    assert "the purge of 2 memories" in run_cli("memory", "undo").out
    assert "is undone" in run_cli("memory", "undo", "--yes").out
    assert len(run_cli("memory", "list", "--json").data["memories"]) == len(ids)
    assert run_cli("memory", "undo", "--yes").out.startswith("there is nothing to undo")


def test_many_are_changed_at_once(run_cli: RunCli, ids: list[str]) -> None:
    change = ("memory", "edit-many", "--where", "kind=habit", "--set", "kind=custom", "--set-type", "fact")
    assert run_cli(*change).out.startswith("2 memories would be changed")
    assert run_cli(*change, "--yes").out.startswith("2 memories changed")
    changed = run_cli("memory", "show", ids[0], "--json").data["memory"]
    assert (changed["metadata"], changed["type"]) == ({"kind": "custom"}, "fact")
    nothing = run_cli("memory", "edit-many")
    assert (nothing.code, nothing.err.splitlines()[0]) == (3, "error: nothing to change")


def test_a_correction_leaves_the_rest_of_the_metadata(run_cli: RunCli) -> None:
    memory = run_cli(
        "memory", "add", "a bill", "--set", "status=open", "--set", "owner=ann", "--set", "n=1"
    ).out.strip()
    assert run_cli("memory", "edit", memory, "--set", "status=paid", "--unset", "n").code == 0
    run_cli("memory", "edit", memory, "--unset", "unknown", "--text", "a paid bill")
    changed = run_cli("memory", "show", memory, "--json").data["memory"]
    assert changed["metadata"] == {"status": "paid", "owner": "ann"}
    assert changed["observations"] == ["a paid bill"]
    assert run_cli("memory", "edit", memory).code == 2


def test_values_are_shown_as_they_are_set(run_cli: RunCli) -> None:
    values = ["a=true", 'b={"c": null}', "d=text", 'e="1"', "f=2"]
    memory = run_cli("memory", "add", "a bill", *(part for value in values for part in ("--set", value))).out.strip()
    assert ", ".join(values) in run_cli("memory", "show", memory).out


def test_hints_name_the_place_that_was_given(
    run_cli: RunCli, ids: list[str], workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("caxton.cli.memory_bulk.remark", told.append)
    run_cli("memory", "purge", "--for-good", "--workspace", workspace)
    run_cli("memory", "purge", "--where", "kind=place", "--yes", "--scope", "workspace")
    run_cli("memory", "undo", "--yes")
    run_cli("memory", "edit-many", "--set", "a=1", "--yes", "--workspace", workspace)
    assert [each for each in told if each.startswith("It can")] == [
        f"It cannot be undone; keep a copy with: caxton memory export --out memory.ndjson --workspace {workspace}",
        "It can be undone for a week: caxton memory undo",
        f"It can be undone for a week: caxton memory undo --workspace {workspace}",
    ]
    there = command_there("caxton memory undo", "global")  # of the last command
    assert there == f"caxton memory undo --scope global --workspace {workspace}"


@pytest.mark.requirement("MEM-6")
def test_retention_is_shown_in_words(run_cli: RunCli, ids: list[str]) -> None:
    assert run_cli("memory", "retention").out == "everything is remembered\n"
    shown = run_cli("memory", "retention", "--max-age", "90d", "--max-count", "2").out
    assert shown.splitlines()[0] == "remembered is what was changed within 90 days and the newest 2"
    assert shown.splitlines()[1].startswith("1 memory will be removed")
    assert run_cli("memory", "retention", "--apply").out.splitlines()[-1] == "1 memory removed"
    assert len(run_cli("memory", "list", "--json").data["memories"]) == len(ids) - 1
    assert run_cli("memory", "retention", "--off").out == "everything is remembered\n"
    assert run_cli("memory", "retention", "--max-age", "soon").code == 2


@pytest.mark.requirement("MEM-4")
def test_an_interrupted_export_and_import_go_on(run_cli: RunCli, ids: list[str], folder: Path) -> None:
    assert run_cli("memory", "export", "--out", "all.ndjson").out == "3 memories written to all.ndjson\n"
    whole = (folder / "all.ndjson").read_text()
    (folder / "all.ndjson.partial").write_text(whole[: whole.index('{"end"')] + '{"entity": {"cut')
    run_cli("memory", "add", "a fourth")
    assert run_cli("memory", "export", "--out", "all.ndjson", "--resume").code == 0
    resumed = [json.loads(line) for line in (folder / "all.ndjson").read_text().splitlines()]
    assert {line["entity"]["id"] for line in resumed if "entity" in line} >= set(ids)
    (folder / "all.ndjson").write_text(whole)
    run_cli("memory", "purge", "--yes")
    for name, content, told in (
        ("cut.ndjson", whole[:-15], "cut off"),
        ("short.ndjson", whole[: whole.index('{"end"')], "its last line is missing"),
        ("future.ndjson", whole.replace('"format":1', '"format":2'), "newer version"),
        ("other.ndjson", "id,text\n1,x\n", "not an export"),
        ("empty.ndjson", "", "cut off"),
    ):
        (folder / name).write_text(content)
        refused = run_cli("memory", "import", name)
        assert refused.code != 0
        assert told in refused.err, name
    (folder / "image.ndjson").write_bytes(b"\x89PNG\xff\xfe")
    assert "not text" in run_cli("memory", "import", "image.ndjson").err
    assert run_cli("memory", "import", "missing.ndjson").code == 2
    assert run_cli("memory", "list").out == "nothing is remembered there\n"
    assert run_cli("memory", "import", "all.ndjson").out == "3 memories and 0 relations imported\n"
    again = run_cli("memory", "import", "all.ndjson").out
    assert again == "0 memories and 0 relations imported, 3 were there already\n"


def test_an_export_is_not_gone_on_with_from_elsewhere(
    run_cli: RunCli, ids: list[str], workspace: str, folder: Path
) -> None:
    run_cli("memory", "export", "--out", "all.ndjson")
    whole = (folder / "all.ndjson").read_text()
    header = json.loads(whole.splitlines()[0])
    assert (header["format"], header["scope"], header["workspace"]) == (1, "workspace", workspace)
    assert json.loads(run_cli("memory", "export").out.splitlines()[0]) == header
    part = whole[: whole.index('{"end"')]
    (folder / "all.ndjson.partial").write_text(part)
    resume = ("memory", "export", "--out", "all.ndjson", "--resume")
    for elsewhere, told in (
        (("--workspace", "other"), "not of workspace other"),
        (("--scope", "global"), "not of all workspaces"),
    ):
        refused = run_cli(*resume, *elsewhere)
        assert refused.code == 2
        assert f"has memories of workspace {workspace}, {told}" in refused.err
        assert f"caxton memory export --out all.ndjson --resume --workspace {workspace}" in refused.err
        assert (folder / "all.ndjson.partial").read_text() == part
    assert run_cli(*resume).out == "3 memories written to all.ndjson\n"
    assert (folder / "all.ndjson").read_text() == whole
    older = part.replace(f',"scope":"workspace","workspace":"{workspace}"', "", 1)
    (folder / "all.ndjson.partial").write_text(older)
    assert "workspace" not in json.loads(older.splitlines()[0])
    assert run_cli(*resume).code == 0
    assert len(ids) == 3


def test_a_large_import_goes_in_parts_and_is_undone_as_one(run_cli: RunCli, ids: list[str], folder: Path) -> None:
    run_cli("memory", "export", "--out", "all.ndjson")
    lines = (folder / "all.ndjson").read_text().splitlines()
    [sample] = [line for line in lines if ids[0] in line and line.startswith('{"entity"')]
    many = [sample.replace(ids[0], f"mem_many{number:05}").replace("Anna", f"Anna {number}") for number in range(1200)]
    (folder / "many.ndjson").write_text("\n".join([lines[0], *many, lines[-1]]) + "\n")
    assert run_cli("memory", "import", "many.ndjson").out == "1200 memories and 0 relations imported\n"
    assert "1203 memories" in run_cli("memory", "stats").out
    assert "the import of 1200 memories" in run_cli("memory", "undo", "--yes").out
    assert "3 memories" in run_cli("memory", "stats").out


def test_relations_of_an_import_may_come_before_their_ends_and_are_told_if_one_is_missing(
    run_cli: RunCli, ids: list[str], folder: Path
) -> None:
    run_cli("memory", "relate", ids[0], "goes with", ids[2])
    run_cli("memory", "export", "--out", "all.ndjson")
    lines = (folder / "all.ndjson").read_text().splitlines()
    [relation] = [line for line in lines if line.startswith('{"relation"')]
    [sample] = [line for line in lines if ids[1] in line and line.startswith('{"entity"')]
    many = [sample.replace(ids[1], f"mem_many{number:05}").replace("Friday", f"day {number}") for number in range(1200)]
    dangling = relation.replace(ids[2], "mem_nowhere").replace('"id":"rel_', '"id":"rel_x')
    both = [line for line in lines if line.startswith('{"entity"') and ids[1] not in line]
    (folder / "mixed.ndjson").write_text("\n".join([lines[0], "", relation, dangling, *many, *both, lines[-1]]) + "\n")
    run_cli("memory", "purge", "--yes")
    done = run_cli("memory", "import", "mixed.ndjson")
    assert done.out == "1202 memories and 1 relation imported\n"
    assert "1 relation left out, for a memory at one end is missing:\n  line 4: mem_nowhere" in done.err
    assert run_cli("memory", "import", "mixed.ndjson", "--json").data["left_out"] == [
        {"line": 4, "missing": "mem_nowhere"}
    ]
    assert "the import of 1202 memories" in run_cli("memory", "undo").out


@pytest.mark.requirement("MEM-7")
def test_relations_have_properties_and_are_removed(run_cli: RunCli, ids: list[str]) -> None:
    relation = run_cli("memory", "relate", ids[0], "goes with", ids[2], "--set", "since=2020", "--set", "why=tea").out
    assert f"→ goes with {ids[2]}  {relation.strip()}  since=2020  why=tea\n" in run_cli("memory", "show", ids[0]).out
    run_cli("memory", "relate", ids[0], "goes with", ids[2], "--set", "why=sugar")
    assert f"← goes with {ids[0]}  {relation.strip()}  why=sugar\n" in run_cli("memory", "show", ids[2]).out
    assert run_cli("memory", "unrelate", relation.strip()).out == f"{relation.strip()} is removed\n"
    assert relation.strip() not in run_cli("memory", "show", ids[0]).out
    for wrong in (relation.strip(), ids[0], "../agents/x", "?x=1"):
        refused = run_cli("memory", "unrelate", wrong)
        assert refused.code != 0
        assert "there is no" in refused.err or "RELATION" in refused.err, refused.err
    assert "is not a value" in run_cli("memory", "relate", ids[0], "goes with", ids[2], "--set", "x").err


def test_slips_are_told(run_cli: RunCli, ids: list[str]) -> None:
    for arguments, told in (
        (("undo", "--scope", "agent:x"), "cannot stand here"),
        (("purge", "--scope", "nowhere"), "is not a scope"),
        (("purge", "--where", "x"), "is not a value"),
        (("purge", "--older-than", "soon"), "is not a time"),
        (("export", "--resume"), "nothing to resume"),
        (("export", "--out", "."), "--out .: that is a folder"),
        (("export", "--out", "nope/x"), "--out nope/x: there is no folder nope"),
        (("retention", "--off", "--max-count", "3"), "remember everything"),
    ):
        outcome = run_cli("memory", *arguments)
        assert outcome.code != 0, arguments
        assert told in outcome.err, outcome.err
    for path in ("../keys/k_1", "stats", "../agents/x", "a/b", "?x=1"):
        assert run_cli("memory", "delete", path).code != 0
        assert "there is no" in run_cli("memory", "show", path).err, path
    assert run_cli("memory", "show", "").code != 0
    odd = run_cli("memory", "add", "odd", "--set", "a=1e999", "--set", "b=NaN", "--set", "c=2").out.strip()
    assert run_cli("memory", "show", odd, "--json").data["memory"]["metadata"] == {"a": "1e999", "b": "NaN", "c": 2}
    assert run_cli("memory", "reembed").out == "all memories are embedded already\n"


def test_what_all_workspaces_share_is_exported_and_limited_apart(run_cli: RunCli, ids: list[str], folder: Path) -> None:
    run_cli("memory", "purge", "--scope", "global", "--yes")
    run_cli("memory", "add", "everybody may know", "--scope", "global")
    run_cli("memory", "export", "--out", "shared.ndjson", "--scope", "global")
    assert "everybody may know" in (folder / "shared.ndjson").read_text()
    assert "Anna" not in (folder / "shared.ndjson").read_text()
    assert "--scope global" in run_cli("memory", "import", "shared.ndjson").err
    assert "1 were there already" in run_cli("memory", "import", "shared.ndjson", "--scope", "global").out
    run_cli("memory", "retention", "--scope", "global", "--max-count", "7")
    assert "newest 7" in run_cli("memory", "retention", "--scope", "global").out
    assert run_cli("memory", "retention").out == "everything is remembered\n"
    assert run_cli("memory", "purge", "--scope", "global", "--yes").out == "1 memory removed\n"
    assert len(run_cli("memory", "list", "--json").data["memories"]) == len(ids)
