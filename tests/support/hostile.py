"""What somebody hostile would deploy: schemas that cost time or memory to compile or to check against."""

import json
from typing import Any


def _patterns(count: int, pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{n}": {"pattern": pattern.replace("#", str(n))} for n in range(count)}}


def _items(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"items": schema}}, **more}


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


REFUSED_SCHEMAS: dict[str, dict[str, Any]] = {
    "4,000 patterns": _patterns(4_000, "^[a-z]{100}(a|b){50}#$"),
    "4,000 pattern properties": {
        "type": "object",
        "patternProperties": {f"^(a|b|{n}){{50}}\\w{{20}}$": {"type": "string"} for n in range(4_000)},
    },
    "a pattern that is huge when it is compiled": _patterns(1, "((\\w{100}){100}){100}#"),
    "references that multiply": {
        "type": "object",
        "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}},
        "$ref": "#/$defs/d0",
    },
    "a reference to itself": {"type": "object", "$ref": "#"},
    "a reference to an address": {"type": "object", "$ref": "http://127.0.0.1:9/schema.json"},
    "a reference to a file": {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
    "a schema of its own kind": {"$schema": "http://127.0.0.1:9/meta.json", "type": "object"},
    "too long": {"type": "object", "description": "x" * 300_000},
}
"""Schemas that cannot be deployed."""

COSTLY_SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "200 large patterns": (_patterns(200, "(\\w{5,60}x){3}#"), {f"p{n}": "a" * 3_000 for n in range(200)}),
    "look-around that backtracks": (_items({"pattern": "^(?=(a+)+$)(a|aa)+$"}), {"a": ["a" * 2_000 + "b"] * 200}),
    "back references": (_items({"pattern": "(.*)(.*)(.*)\\1\\2\\3$"}), {"a": ["a" * 2_000 + "b"] * 200}),
    "a long list of values": (_items({"enum": list(range(20_000))}), {"a": [-1.5] * 50_000}),
    "unique objects": (
        {"type": "object", "properties": {"a": {"uniqueItems": True}}},
        {"a": [{"x": n} for n in range(20_000)]},
    ),
    "expressions as values": (
        _items({"format": "regex"}, **{"$schema": "http://json-schema.org/draft-07/schema#"}),
        {"a": ["((\\w{100}){50}){20}"] * 200},
    ),
    "many properties": (
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(5_000)}},
        {"p1": 1},
    ),
    "many mistakes": (_items({"type": "string", "minLength": 3}), {"a": [0] * 100_000}),
    "deep": ({"type": "object", **_nested(40)}, {"a": 1}),
}
"""Schemas that can be deployed, each with arguments that take long to check; none of them may disturb anybody."""


def many_schemas(count: int) -> list[dict[str, Any]]:
    """Different schemas as large as they may be."""
    properties = {f"property-{n}": {"type": "string", "pattern": f"^[a-z]{{{n % 50}}}$"} for n in range(150)}
    return [{"type": "object", "title": f"{n}", "properties": properties} for n in range(count)]


def size_of(schema: dict[str, Any]) -> int:
    """Characters of a schema as JSON."""
    return len(json.dumps(schema))


_AGENT = 'name = "a"\nversion = "1.0.0"\ncapabilities = ["a"]\nmodel = "scripted"\nscript = "a.script.toml"\n'
_SCRIPT = '[[rules]]\n[[rules.steps]]\nreply = "x"\n'


def _rule(pattern: str) -> str:
    return f'[[rules]]\nwhen = {{ matches = {json.dumps(pattern)} }}\n[[rules.steps]]\nreply = "x"\n'


AGENTS: dict[str, tuple[str, str]] = {
    "a key of 200,000 parts": (_AGENT + "a." * 200_000 + "b = 1\n", _SCRIPT),
    "100,000 tables": (_AGENT + "".join(f"[t{n}]\n" for n in range(100_000)), _SCRIPT),
    "150,000 tables in a list": (_AGENT + "[[a]]\n" * 150_000, _SCRIPT),
    "40,000 misspelt keys": ("".join(f"capabilitie{n} = 1\n" for n in range(40_000)) + _AGENT, _SCRIPT),
    "40,000 quoted keys": (_AGENT + "".join(f'"k\\u0041{n}" = 1\n' for n in range(40_000)), _SCRIPT),
    "60,000 misspelt tools": (_AGENT + "tools = [" + ",".join(f'"to ol{n}.f"' for n in range(60_000)) + "]\n", _SCRIPT),
    "lists in lists": (_AGENT + "x = " + "[" * 100_000, _SCRIPT),
    "a number of a million digits": (_AGENT + "x = " + "9" * 1_000_000, _SCRIPT),
    "a template of 100,000 parts": (_AGENT + 'system_prompt = "' + "{{ a }}" * 100_000 + '"\n', _SCRIPT),
    "30,000 misspelt variables": (
        _AGENT + 'system_prompt = "' + "".join(f"{{{{ reqest{n} }}}}" for n in range(30_000)) + '"\n',
        _SCRIPT,
    ),
    "a pattern whose counts multiply": (_AGENT, _rule("((a{1000}){1000}){1000}")),
    "a pattern with many errors allowed": (_AGENT, _rule("(?:" + "a" * 50_000 + "){e<=30}")),
    "a pattern of 100,000 words": (_AGENT, _rule("(" + "|".join(f"w{n}" for n in range(100_000)) + ")")),
}
"""Agents, each with its script, that take minutes or gigabytes to read."""

MANIFESTS: dict[str, str] = {
    "a manifest of 100,000 tables": "".join(f"[t{n}]\n" for n in range(100_000)),
    "a manifest of lists in lists": "x = " + "[" * 100_000,
    "a manifest of 40,000 misspelt keys": "".join(f"permission{n} = 1\n" for n in range(40_000)),
}
"""Manifests of tools of that kind."""
