"""Schemas of capabilities: read from tables and files, and refused where they cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from caxton.definitions.agents import read_agent
from caxton.definitions.bundles import compile_bundle
from caxton.definitions.reading import Reading
from caxton.definitions.workspace import load_workspace
from caxton.domain.deployments import Bundle
from tests.support.deploying import write_files

HEAD = 'name = "counter"\nversion = "1.0.0"\ncapabilities = [{ name = "count", input = "count.schema.json" }]\n'
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}


def read(schema: Any, head: str = HEAD) -> Reading[Any]:
    content = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    return read_agent("counter.toml", {"counter.toml": head.encode(), "count.schema.json": content})


@pytest.mark.requirement("RTE-9")
def test_a_schema_in_a_file_is_a_part_of_the_agent() -> None:
    found = read(SCHEMA).value
    assert found is not None
    assert found.version.spec.capabilities[0].input_schema == SCHEMA
    assert sorted(found.bundle.files) == ["count.schema.json", "counter.toml"]
    other = read({**SCHEMA, "description": "counts"}).value
    assert other is not None
    assert other.version.digest != found.version.digest


@pytest.mark.requirement("RTE-9")
def test_the_server_reads_what_the_client_has_read(tmp_path: Path) -> None:
    files = {"agents/counter.toml": HEAD, "agents/count.schema.json": json.dumps(SCHEMA)}
    workspace = load_workspace(write_files(tmp_path, files))
    assert workspace.problems == []
    [bundle] = workspace.bundles
    contents = {path: workspace.content(digest) for path, digest in bundle.files.items()}
    compiled = compile_bundle(Bundle.model_validate(bundle.model_dump()), contents)
    assert compiled.value is not None
    assert compiled.value.bundle == bundle


@pytest.mark.requirement("RTE-9")
@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string"}, 'its "type" is not "object"'),
        ({"type": "objekt"}, "not a JSON Schema that Caxton can check"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/no"}}}, "leads nowhere"),
        (
            {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
            "must name a place in the same schema",
        ),
        ({"type": "object", "description": "x" * 70_000}, "more than 65,536 characters"),
        ([SCHEMA], "has no JSON object"),
        (b'{"type": "object", "type": "object"}', "is there twice"),
        (b"{", "is not JSON"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_problem_of_its_capability(schema: Any, message: str) -> None:
    reading = read(schema)
    [problem] = reading.errors
    assert message in problem.message
    assert (problem.file, problem.path) == ("agents/counter.toml", "capabilities[0].input")


@pytest.mark.requirement("RTE-9")
def test_a_schema_that_multiplies_is_refused() -> None:
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    [problem] = read({"type": "object", "$ref": "#/$defs/d0", "$defs": {**definitions, "d40": {}}}).errors
    assert "would take too long" in problem.message


def test_a_missing_or_misnamed_file_is_told_with_what_was_meant() -> None:
    [missing] = read(SCHEMA, HEAD.replace("count.schema", "cout.schema")).errors
    assert 'the schema "cout.schema.json" is missing' in missing.message
    assert 'did you mean "count.schema.json"' in str(missing.hint)
    [misnamed] = read(SCHEMA, HEAD.replace("count.schema.json", "../count.json")).errors
    assert 'ends in ".schema.json"' in misnamed.message


def test_a_schema_that_nobody_names_is_a_warning(tmp_path: Path) -> None:
    plain = HEAD.replace('{ name = "count", input = "count.schema.json" }', '"count"')
    files = {"agents/counter.toml": plain, "agents/count.schema.json": json.dumps(SCHEMA)}
    [problem] = load_workspace(write_files(tmp_path, files)).problems
    assert (problem.severity, problem.message) == ("warning", "no agent names this schema")


def test_dates_are_no_json() -> None:
    head = 'name = "c"\nversion = "1.0.0"\n[[capabilities]]\nname = "c"\n[capabilities.input]\ntype = "object"\n'
    reading = read_agent("c.toml", {"c.toml": (head + "default = 2024-01-01\n").encode()})
    assert any("a date cannot be used here" in problem.message for problem in reading.errors)
