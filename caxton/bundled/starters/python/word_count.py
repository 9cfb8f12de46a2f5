"""An MCP tool server in Python: counts words.

Imports belong at the top of the file: they run while the component is built. Report a failure with Err; any other
exception traps.
"""
import json

import wit_world
from componentize_py_types import Err

TOOLS = [
    {
        "name": "word_count",
        "description": "Counts the words of a text.",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 100000, "description": "The text."}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "outputSchema": {
            "type": "object",
            "properties": {"words": {"type": "integer", "description": "How many words there are."}},
            "required": ["words"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
    }
]


class WitWorld(wit_world.WitWorld):
    def describe(self) -> str:
        return json.dumps({"tools": TOOLS})

    def call(self, name: str, arguments: str) -> str:
        if name != "word_count":
            raise Err(f"there is no tool {name}")
        text = json.loads(arguments).get("text")
        if not isinstance(text, str):
            raise Err("'text' is missing or not a string")
        words = len(text.split())
        return json.dumps({
            "content": [{"type": "text", "text": f"{words} words"}],
            "structuredContent": {"words": words},
        })
