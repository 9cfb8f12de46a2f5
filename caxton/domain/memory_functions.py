"""The tool "memory": what agents may do with memory, described as any tool's functions are, and built in."""

from caxton import __version__
from caxton.domain.ids import Digest, digest_of
from caxton.domain.tools import ToolFunction, ToolManifest, ToolVersion

SERVER = "memory"
"""Name of the tool; no tool of a workspace may have it."""

INSTEAD = f"{SERVER}-server"
"""What to call one that is about memory, such as the MCP server of that name."""

_TEXT = {"type": "string", "minLength": 1, "maxLength": 60_000}
_ID = {"type": "string", "minLength": 1, "maxLength": 64, "description": 'As "recall" gives it.'}

FUNCTIONS = (
    ToolFunction(
        name="remember",
        description="Keeps a fact, so that it can be recalled in later conversations.",
        inputSchema={
            "type": "object",
            "properties": {
                "text": {**_TEXT, "description": "The fact, in words that stand by themselves."},
                "name": {"type": "string", "maxLength": 200, "description": "What it is about."},
                "metadata": {"type": "object", "description": "Values to filter by."},
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        annotations={"idempotentHint": True},
    ),
    ToolFunction(
        name="recall",
        description="Finds what was remembered, by meaning and by words.",
        inputSchema={
            "type": "object",
            "properties": {
                "query": {**_TEXT, "maxLength": 10_000},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "where": {"type": "object", "description": "Metadata that must be equal."},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        annotations={"readOnlyHint": True},
    ),
    ToolFunction(
        name="relate",
        description="Says that one memory has to do with another.",
        inputSchema={
            "type": "object",
            "properties": {
                "source": _ID,
                "type": {"type": "string", "pattern": r"^[\w .-]{1,64}$", "description": 'Such as "caused by".'},
                "target": _ID,
            },
            "required": ["source", "type", "target"],
            "additionalProperties": False,
        },
        annotations={"idempotentHint": True},
    ),
    ToolFunction(
        name="forget",
        description="Removes a memory for good.",
        inputSchema={"type": "object", "properties": {"id": _ID}, "required": ["id"], "additionalProperties": False},
        annotations={"idempotentHint": True, "destructiveHint": True},
    ),
)

_MODULE = "builtin.wasm"
"""Named because a manifest has to; there is none."""

MEMORY_TOOL = ToolVersion(
    manifest=ToolManifest(name=SERVER, version=__version__, description="What agents remember.", module=_MODULE),
    files={_MODULE: Digest(digest_of(b"memory"))},
    functions=list(FUNCTIONS),
    digest=Digest(digest_of(f"memory {__version__}".encode())),
)
