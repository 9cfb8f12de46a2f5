"""A workspace with the tools that MCP's conformance suite looks for, as far as agents can be them."""

import json
from typing import Any

from tests.support.agents import agent, hands_over, replies
from tests.support.mcp_tools import ServerFolder
from tests.support.modules import answering

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
IMAGE = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}
NOTE = {"type": "resource", "resource": {"uri": "test://note.svg", "mimeType": "image/svg+xml", "text": "<svg/>"}}

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
COLOUR = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
OK = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
USER = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_ABC = ["option1", "option2", "option3"]
_TITLED = [{"const": f"value{n}", "title": title} for n, title in enumerate(("First", "Second", "Third"), 1)]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _ABC},
        "titledSingle": {"type": "string", "oneOf": [{**each, "title": f"{each['title']} Option"} for each in _TITLED]},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _ABC}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{**each, "title": f"{each['title']} Choice"} for each in _TITLED]},
        },
    },
}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
REGION = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
    "required": ["region"],
}
ANYTHING = {"type": "object"}

ASKING: dict[str, list[dict[str, Any]]] = {
    "test_elicitation": [USER],
    "test_elicitation_sep1034_defaults": [DEFAULTS],
    "test_elicitation_sep1330_enums": [ENUMS],
    "test_streaming_elicitation": [NAME],
    "test_input_required_result_elicitation": [NAME],
    "test_input_required_result_request_state": [OK],
    "test_input_required_result_tampered_state": [OK],
    "test_input_required_result_multi_round": [NAME, COLOUR],
    "confirm_delete": [{**OK, "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}],
}
"""Tools whose server asks so."""

MAKING: dict[str, list[dict[str, Any]]] = {
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [NOTE],
    "test_multiple_content_types": [IMAGE, NOTE],
}
"""Tools that make such files."""


def workspace(asking: ServerFolder) -> dict[str, str | bytes]:
    """The files of the workspace; `asking` is a server whose function `ask` asks people."""
    files: dict[str, str | bytes] = {**asking.as_tool("asking", functions=["ask"])}

    def add(name: str, rules: str, schema: dict[str, Any] = ANYTHING, more: str = "") -> None:
        files[f"agents/{name}.schema.json"] = json.dumps(schema)
        offered = f'[{{ name = "{name}", description = "For the suite.", input = "{name}.schema.json" }}]'
        files.update(agent(name, capabilities=offered, rules=rules, more=more))

    add("test_simple_text", replies("This is a simple text response for testing."))
    add("greet", replies("Hello, {{ input.name }}!"), NAME)
    add("test_error_handling", "[[rules]]\nwhen = { contains = 'never' }\n[[rules.steps]]\nreply = 'x'\n")
    two = {"type": "object", "properties": {"arg1": {"type": "string"}, "arg2": {"type": "string"}}}
    add("test_simple_prompt", replies("fine"))
    add("test_prompt_with_arguments", replies("fine"), {**two, "required": ["arg1", "arg2"]})
    add("json_schema_2020_12_tool", replies("fine"), SCHEMA)
    add("regional", replies("fine"), REGION)
    add("slow_compute", replies("done", delay=3))
    failing = (
        '[{ name = "failing_job", input = { type = "object" }, output = { type = "object" }, output_repairs = 0 }]'
    )
    slow = hands_over("slow_compute", content="{}")  # what it says is no object
    files.update(agent("failing_job", capabilities=failing, rules=slow, more='delegates = ["slow_compute"]\n'))
    add("pausing", replies("done", delay=0.6))
    add("test_logging_tool", replies("fine"))
    for name in ("test_tool_with_logging", "test_tool_with_progress"):
        add(name, hands_over("pausing", content="{}"), more='delegates = ["pausing"]\n')
    for name, content in MAKING.items():
        tool = name.replace("_", "-")
        files[f"tools/{tool}/tool.toml"] = f'name = "{tool}"\nversion = "1.0.0"\nmodule = "m.wasm"\n'
        files[f"tools/{tool}/m.wasm"] = answering(json.dumps({"content": content}))
        rules = f"[[rules]]\n[[rules.steps]]\ntool = '{tool}.run'\n[[rules.steps]]\nreply = 'Here it is.'\n"
        add(name, rules, more=f'tools = ["{tool}"]\n')
    for name, forms in ASKING.items():
        asks = json.dumps([{"message": f"Step {n}", "requestedSchema": form} for n, form in enumerate(forms, 1)])
        rules = f"[[rules]]\n[[rules.steps]]\ntool = 'asking.ask'\narguments = {{ asks = '''{asks}''' }}\n"
        rules += "[[rules.steps]]\nreply = '''User response: {{ results[0].text }}'''\n"
        add(name, rules, more='tools = ["asking"]\n')
    return files
