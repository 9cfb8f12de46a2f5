"""The published JSON Schemas say the same as the checks."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from caxton.definitions.schema import FOLDERS, schema_files, schema_of

BUNDLED = FOLDERS[0].parent
KINDS = ("agent", "script", "tool")
AGENT = {"name": "x", "version": "1.0.0", "capabilities": ["a"]}
TOOL = {"name": "x", "version": "1.0.0", "module": "x.wasm"}


@pytest.mark.parametrize("folder", FOLDERS, ids=["bundled", "docs"])
def test_the_files_are_fresh(folder: Path) -> None:
    """If not: python -m caxton.definitions.schema."""
    for name, text in schema_files().items():
        assert (folder / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_a_valid_schema_with_an_address(kind: str) -> None:
    schema = schema_of(kind)
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"].endswith(f"/{kind}.schema.json")
    assert schema["title"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_is_described(kind: str) -> None:
    def check(schema: Any, path: str) -> None:
        if isinstance(schema, dict):
            for name, inner in schema.get("properties", {}).items():
                assert "description" in inner or "$ref" in inner, f"{path}.{name}"
            for key, inner in schema.items():
                check(inner, f"{path}.{key}")

    check(schema_of(kind), kind)
    assert "null" not in json.dumps(schema_of(kind))


@pytest.mark.parametrize(
    "path", sorted((BUNDLED / "templates").glob("*/agent*.toml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_files_of_the_templates_fit(path: Path) -> None:
    kind = "script" if "script" in path.name else "agent"
    jsonschema_rs.validate(schema_of(kind), tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted((BUNDLED / "tools").glob("*/tool.toml")), ids=lambda path: path.parent.name)
def test_the_manifests_of_the_bundled_tools_fit(path: Path) -> None:
    jsonschema_rs.validate(schema_of("tool"), tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("agent", AGENT | {"capabilities": [{"name": "a", "version": "1.0.0"}], "delegates": ["b@^1", {"name": "c"}]}),
        ("agent", AGENT | {"model": ["auto"], "limits": {"time": "5m"}, "model_settings": {"timeout": 3}}),
        ("agent", AGENT | {"parameters": {"a": 1, "b": [True], "c": {"d": "e"}}}),
        ("tool", TOOL | {"limits": {"memory": "64MB", "wall_time": "1.5s", "message_size": 4096}}),
        ("script", {"rules": [{"when": {"contains": "x"}, "steps": [{"reply": "y"}]}], "delay": 0.5}),
    ],
)
def test_short_forms_are_allowed(kind: str, data: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema_of(kind), data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("agent", AGENT | {"colour": "red"}),
        ("agent", AGENT | {"name": "Big Name"}),
        ("agent", AGENT | {"capabilities": []}),
        ("agent", AGENT | {"capabilities": ["Not A Name"]}),
        ("agent", AGENT | {"limits": {"time": "5 parsecs"}}),
        ("agent", AGENT | {"limits": {"steps": "3"}}),
        ("agent", {"name": "x"}),
        ("tool", TOOL | {"form": "comand"}),
        ("tool", TOOL | {"limits": {"memory": "lots"}}),
        ("script", {"rules": []}),
    ],
)
def test_what_the_checks_refuse_the_schemas_refuse(kind: str, data: dict[str, Any]) -> None:
    assert not jsonschema_rs.is_valid(schema_of(kind), data)
