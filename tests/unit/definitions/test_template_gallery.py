"""The gallery, and agents made from it: all their files or none."""

import os
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.definitions import written_files
from caxton.definitions.templates import DEFAULT_TEMPLATE, get_template, instantiate, list_templates, preview, search
from caxton.definitions.toml_edit import replace_values, toml_literal
from caxton.definitions.toml_source import TomlSource, read_toml
from caxton.definitions.workspace import load_workspace
from caxton.domain.errors import CaxtonError, DiskFull, InvalidInput, InvalidState, NotFound

IDS = [template.id for template in list_templates()]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_gallery_has_what_it_promises_and_begins_with_the_default() -> None:
    assert IDS[0] == DEFAULT_TEMPLATE == "task-automator"
    assert set(IDS) >= {"task-automator", "data-fetcher", "data-analyzer", "support-triage", "researcher"}


@pytest.mark.parametrize("template_id", IDS)
def test_a_template_says_what_a_gallery_shows(template_id: str) -> None:
    template = get_template(template_id)
    assert template.id == template_id
    assert template.use_cases
    assert template.example_prompts
    assert set(template.works_with) <= set(IDS)
    assert all(found.default is not None and found.description for found in template.customisations)


@pytest.mark.requirement("ONB-3")
@pytest.mark.parametrize("template_id", IDS)
def test_each_template_makes_a_workspace_without_problems_twice(tmp_path: Path, template_id: str) -> None:
    started = time.perf_counter()
    written = instantiate(template_id, "first", tmp_path)
    instantiate(template_id, "second", tmp_path)
    assert time.perf_counter() - started < 4.0  # 2 s each
    assert {path.as_posix() for path in written} == files_in(tmp_path) - {
        "agents/second.toml",
        "agents/second.script.toml",
        "agents/second.wasm",
    }
    workspace = load_workspace(tmp_path, {})
    assert workspace.errors == []
    assert {agent.name for agent in workspace.agents} == {"first", "second"}
    assert {tool.name for tool in workspace.tools} == set(get_template(template_id).tools)
    of_models = [agent.version for agent in workspace.agents if agent.version.module is None]
    assert all(version.spec.models == ["auto"] and version.script for version in of_models)
    assert all(len(version.spec.system_prompt) > 300 for version in of_models)


@pytest.mark.requirement("ONB-3")
def test_all_templates_together_make_a_workspace_without_even_a_warning(tmp_path: Path) -> None:
    for template_id in IDS:
        instantiate(template_id, f"my-{template_id}", tmp_path)
    assert load_workspace(tmp_path, {}).problems == []


def test_the_schema_line_of_each_file_leads_to_a_schema(tmp_path: Path) -> None:
    instantiate("data-analyzer", "a", tmp_path)
    for name, kind in (("a.toml", "agent"), ("a.script.toml", "script")):
        first, _, _ = (tmp_path / "agents" / name).read_text(encoding="utf-8").partition("\n")
        target = (tmp_path / "agents" / first.removeprefix("#:schema ")).resolve()
        assert target.name == f"{kind}.schema.json"
        assert target.is_file()


@pytest.mark.requirement("ONB-3")
def test_an_agent_that_exists_is_not_written_over_without_force(tmp_path: Path) -> None:
    instantiate("task-automator", "mine", tmp_path)
    place = tmp_path / "agents" / "mine.toml"
    place.write_text("precious", encoding="utf-8")
    with pytest.raises(InvalidState, match=r"^agents/mine\.toml exists already$") as error:
        instantiate("data-fetcher", "mine", tmp_path)
    assert error.value.hints[0].command == "caxton init mine --template data-fetcher --force"
    assert place.read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "tools" / "http-client").exists()
    written = instantiate("task-automator", "mine", tmp_path, force=True)
    assert [path.as_posix() for path in written] == ["agents/mine.toml", "agents/mine.script.toml"]
    assert load_workspace(tmp_path, {}).problems == []


def test_tools_and_settings_of_the_workspace_stay_as_they_are(tmp_path: Path) -> None:
    instantiate("data-analyzer", "one", tmp_path)
    (tmp_path / "tools" / "csv-tools" / "data" / "sales.csv").write_text("mine,1\n", encoding="utf-8")
    (tmp_path / "caxton.toml").write_text('[workspace]\nname = "mine"\n', encoding="utf-8")
    instantiate("data-fetcher", "two", tmp_path, force=True)
    assert (tmp_path / "tools" / "csv-tools" / "data" / "sales.csv").read_text(encoding="utf-8") == "mine,1\n"
    assert load_workspace(tmp_path).name == "mine"


@pytest.mark.parametrize("name", ["My Agent", "../escape", "a/b", "", "x" * 64, "a.script", "-a"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a valid name for an agent"):
        instantiate("task-automator", name, tmp_path)
    assert files_in(tmp_path) == set()


def test_a_misspelt_template_or_customisation_is_answered_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as unknown:
        instantiate("data-analyser", "x", tmp_path)
    assert unknown.value.hints[0].text == 'did you mean "data-analyzer"?'
    with pytest.raises(InvalidInput) as wrong:
        instantiate("data-analyzer", "x", tmp_path, {"datset": "/data/x.csv"})
    assert wrong.value.hints[0].text == 'did you mean "dataset"?'


def test_customisations_are_put_in_place_and_comments_stay(tmp_path: Path) -> None:
    chosen = {"tone": "formal", "urgent_words": 'now, "quoted", back\\slash'}
    instantiate("task-automator", "x", tmp_path, chosen)
    text = (tmp_path / "agents" / "x.toml").read_text(encoding="utf-8")
    parameters = tomllib.loads(text)["parameters"]
    assert parameters == {"tone": "formal", "urgent_words": ["now", '"quoted"', "back\\slash"]}
    assert "# Prompts are templates." in text
    with pytest.raises(InvalidInput, match='"tone" may not be "frmal"') as error:
        instantiate("task-automator", "y", tmp_path, {"tone": "frmal"})
    assert error.value.hints[0].text == 'did you mean "formal"?'
    with pytest.raises(InvalidInput, match='"urgent_words" must be a list of texts'):
        instantiate("task-automator", "y", tmp_path, {"urgent_words": [1]})


def test_hosts_can_be_granted_to_a_tool_that_is_copied(tmp_path: Path) -> None:
    origins = ["https://data.example.com", "http://127.0.0.1:8099"]
    instantiate("data-fetcher", "x", tmp_path, {"origins": origins})
    [tool] = [tool for tool in load_workspace(tmp_path).tools if tool.name == "http-client"]
    assert tool.version.manifest.permissions.network == origins
    with pytest.raises(InvalidState, match=r"^tools/http-client exists already") as error:
        instantiate("data-fetcher", "y", tmp_path, {"origins": "https://other.example.com"})
    assert error.value.hints[0].text == "edit tools/http-client/tool.toml"
    assert not (tmp_path / "agents" / "y.toml").exists()


def test_the_preview_is_what_would_be_written(tmp_path: Path) -> None:
    shown = preview("data-analyzer", "mine")
    instantiate("data-analyzer", "mine", tmp_path)
    for path, text in shown.files.items():
        assert (tmp_path / path).read_text(encoding="utf-8") == text
    assert set(shown.folders) == {"tools/csv-tools", "tools/chart-generator"}


def test_search_finds_words_anywhere_and_names_first() -> None:
    assert [template.id for template in search("DATA")][:2] == ["data-analyzer", "data-fetcher"]
    assert "support-triage" in [template.id for template in search("tickets urgency")]
    assert [template.id for template in search("")] == IDS
    assert search("no such thing") == []


# --- all or nothing ---


@pytest.mark.parametrize("at", range(6))
def test_when_writing_fails_halfway_everything_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    instantiate("task-automator", "mine", tmp_path)
    (tmp_path / "agents" / "mine.toml").write_text("precious", encoding="utf-8")
    before = {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path)}
    count = 0

    def failing(source: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == at + 1:
            raise OSError(28, "No space left on device", str(target))
        os.replace(source, target)  # noqa: PTH105 - the method is the one that is replaced here
        return Path(target)

    monkeypatch.setattr(written_files.Path, "replace", failing)
    with pytest.raises(DiskFull):
        instantiate("data-fetcher", "mine", tmp_path, force=True)
    monkeypatch.undo()
    assert {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path)} == before
    assert not (tmp_path / "tools" / "http-client").exists()


def test_a_place_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(InvalidState, match=r"^cannot write ") as error:
        instantiate("task-automator", "mine", tmp_path)
    assert isinstance(error.value, CaxtonError)
    assert files_in(tmp_path) == {"agents"}


# --- putting values in place ---


@given(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(),
        st.lists(st.text(), max_size=4),
    )
)
def test_a_value_that_is_put_in_place_is_read_back(value: object) -> None:
    source = read_toml("x.toml", 'a = [1]\n[b]\n"c d" = "old" # comment\nlast = true\n')
    assert isinstance(source, TomlSource)
    text = replace_values(source, {("b", "c d"): value, ("a", 0): value})
    assert tomllib.loads(text) == {"a": [value], "b": {"c d": value, "last": True}}
    assert " # comment" in text


def test_what_toml_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="TOML cannot hold a NoneType"):
        toml_literal(None)
