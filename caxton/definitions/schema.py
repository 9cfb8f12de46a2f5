"""JSON Schemas of the files that people write, for editors that complete and check TOML.

`python -m caxton.definitions.schema` writes them; a test says when they are stale. They are made from the domain's
models, with the short forms that the models take.
"""

import json
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from caxton.domain.agents import AgentSpec
from caxton.domain.capabilities import Capability, CapabilityRequest, check_version, check_version_range
from caxton.domain.ids import NAME_PATTERN
from caxton.domain.quantities import parse_duration, parse_rate, parse_size
from caxton.domain.scripts import Script
from caxton.domain.tools import ToolManifest

_BASE = "https://raw.githubusercontent.com/caxton/caxton/main/docs/reference/schemas/"
_PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (_PACKAGE / "bundled" / "schemas", _PACKAGE.parent / "docs" / "reference" / "schemas")
"""Where the schemas are kept: in the package, and in the documentation of the repository."""

_MODELS: dict[str, tuple[type[BaseModel], str, str]] = {
    "agent": (AgentSpec, "Caxton agent", "An agent: agents/NAME.toml."),
    "script": (Script, "Caxton script", "Rules that stand in for a model: agents/NAME.script.toml."),
    "tool": (ToolManifest, "Caxton tool", "A WebAssembly tool server: tools/NAME/tool.toml."),
}
_NAME = NAME_PATTERN.removeprefix("^").removesuffix("$")
_SHORT_FORMS: dict[type[BaseModel], JsonSchemaValue] = {
    Capability: {"type": "string", "pattern": NAME_PATTERN, "description": "The capability's name."},
    CapabilityRequest: {
        "type": "string",
        "pattern": f"^{_NAME}(?:@.+)?$",
        "description": 'The capability\'s name, perhaps with versions: "analyze-data@^1".',
    },
}
_TEXTS: dict[Any, JsonSchemaValue] = {
    parse_size: {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([kKmMgGtT]?[iI]?[bB]?)\s*$", "examples": ["64MB"]},
    parse_duration: {
        "type": "string",
        "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|min|h|d|MS|S|M|MIN|H|D)\s*$",
        "examples": ["30s", "5m"],
    },
    parse_rate: {
        "type": "string",
        "pattern": r"^\s*\d+(\.\d+)?\s*/\s*(s|m|min|h|d|S|M|MIN|H|D)\s*$",
        "examples": ["10/s", "600/m"],
    },
}
_EXAMPLES: dict[Any, list[str]] = {check_version: ["1.0.0"], check_version_range: ["^1.0.0", ">=1.2.0 <2.0.0"]}


class _TomlSchema(GenerateJsonSchema):
    """Pydantic's generator, and the short forms that validators of the domain take."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Sizes and durations, which may be text too."""
        full = super().function_before_schema(schema)
        short = _TEXTS.get(schema["function"]["function"])
        return {"anyOf": [short, full]} if short else full

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Models, some of which a text can stand for."""
        full = super().model_schema(schema)
        short = _SHORT_FORMS.get(schema["cls"])
        return {"anyOf": [short, full]} if short else full

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """TOML has no null: what may be None may be left out."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults, but for the None of what is left out."""
        made = super().default_schema(schema)
        default: Any = made.get("default")
        if default is None:
            made.pop("default", None)
        elif isinstance(default, dict):
            entries = cast("dict[str, Any]", default).items()
            made["default"] = {key: value for key, value in entries if value is not None}
        return made

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """Versions, with examples of them."""
        full = super().function_after_schema(schema)
        examples = _EXAMPLES.get(schema["function"]["function"])
        return {**full, "examples": examples} if examples else full

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's own signature
        """No titles: editors show a key's name anyway."""
        return False


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of "agent", "script" or "tool" files."""
    model, title, description = _MODELS[kind]
    made = model.model_json_schema(mode="validation", schema_generator=_TomlSchema)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{_BASE}{kind}.schema.json",
        "title": title,
        "description": description,
    }
    return {**head, **{key: value for key, value in made.items() if key not in head}}


def schema_files() -> dict[str, str]:
    """Name and text of each schema file."""
    return {f"{kind}.schema.json": json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n" for kind in _MODELS}


def main() -> None:
    """Writes the files again."""
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in schema_files().items():
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
