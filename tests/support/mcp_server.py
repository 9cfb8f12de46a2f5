"""An MCP server made with the official SDK, for tests: `python -m tests.support.mcp_server FOLDER [PORT]`.

It speaks on standard input and output, or over HTTP where a port is given. What it offers and how it behaves, the files of its
folder say, so that a test changes it while it runs: `surface` (a word in a description), `more` (another function), `mood`
(`mute`, `silent`, `huge`, `hostile`, `many`, `endless`). It notes in `log` what it was told.
"""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server

folder = Path(sys.argv[1])


def said(name: str, default: str = "") -> str:
    """What the folder's file of that name says."""
    path = folder / name
    return path.read_text().strip() if path.exists() else default


def note(**what: Any) -> None:
    """Notes something in the folder's log."""
    with (folder / "log").open("a") as log:
        log.write(json.dumps(what) + "\n")


def _tool(name: str, description: str, properties: dict[str, Any] | None = None, **more: Any) -> types.Tool:
    schema = {"type": "object", "properties": properties or {}}
    return types.Tool(name=name, description=description, input_schema=schema, **more)


def tools() -> list[types.Tool]:
    """What it offers now."""
    if said("mood") == "hostile":
        schemas: dict[str, Any] = {"a0": {"type": "string"}}
        for number in range(40):  # each refers twice to the one before: 2^40 steps
            before = {"$ref": f"#/$defs/a{number}"}
            schemas[f"a{number + 1}"] = {"allOf": [before, before]}
        schema = {"type": "object", "$defs": schemas, "properties": {"text": {"$ref": "#/$defs/a40"}}}
        return [types.Tool(name="echo", description="bad", input_schema=schema)]
    if said("mood") == "huge":
        return [_tool(f"f{number}", "x" * 60_000) for number in range(200)]
    if said("mood") == "many":
        return [_tool(f"f{number}", "x") for number in range(300)]
    word = said("surface", "text")
    offered = [
        _tool(
            "echo",
            f"Says a {word} again.",
            {"text": {"type": "string"}},
            annotations=types.ToolAnnotations(read_only_hint=True),
        ),
        _tool("count", "Counts calls of one session.", annotations=types.ToolAnnotations(read_only_hint=False)),
        _tool("wipe", "Removes all.", annotations=types.ToolAnnotations(destructive_hint=True, read_only_hint=False)),
        _tool("parts", "Gives a picture, a text and a structure.", output_schema={"type": "object"}),
        _tool("fail", "Fails."),
        _tool("wait", "Waits.", {"seconds": {"type": "number"}, "progress": {"type": "boolean"}}),
        _tool("secret", "Says what it was given."),
        _tool("ask", "Wants to ask a person."),
        _tool("big", "Says much.", {"bytes": {"type": "integer"}}),
        _tool("die", "Ends in the middle of a call.", annotations=types.ToolAnnotations(idempotent_hint=False)),
        _tool("die_once", "Likewise, once.", annotations=types.ToolAnnotations(idempotent_hint=True)),
    ]
    if said("more"):
        offered.append(_tool(said("more"), "Something new."))
    return offered


count = 0


def _text(text: str, **more: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], **more)


async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
    """tools/list"""
    note(listed=True, pid=os.getpid())
    if said("mood") == "silent":
        await asyncio.sleep(3_600)
    cursor = "again" if said("mood") == "endless" else None
    return types.ListToolsResult(tools=tools(), next_cursor=cursor)


async def call_tool(
    context: Any, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    """tools/call"""
    global count
    arguments: dict[str, Any] = dict(params.arguments or {})
    note(called=params.name, pid=os.getpid())
    if params.name == "echo":
        return _text(str(arguments.get("text", "")))
    if params.name == "count":
        count += 1
        return _text(f"{count} in {os.getpid()}")
    if params.name == "parts":
        picture = types.ImageContent(type="image", data="iVBORw0KGgo=", mime_type="image/png")
        note_ = types.EmbeddedResource(
            type="resource",
            resource=types.TextResourceContents(uri="file:///note.txt", text="a note", mime_type="text/plain"),
        )
        told = types.TextContent(type="text", text="here they are")
        return types.CallToolResult(content=[told, picture, note_], structured_content={"answer": 42})
    if params.name == "fail":
        return _text("it does not work today", is_error=True)
    if params.name == "wait":
        return await _wait(context, arguments)
    if params.name == "secret":
        headers = dict(context.request.headers) if getattr(context, "request", None) is not None else {}
        note(authorization=hashlib.sha256(headers.get("authorization", "").encode()).hexdigest())
        print("stderr says", os.environ.get("TOOL_TOKEN"), file=sys.stderr, flush=True)
        names = sorted(name for name in os.environ if name.startswith(("CAXTON", "HOOK", "OPENAI")))
        return _text(
            f"{headers.get('authorization')} {os.environ.get('TOOL_TOKEN')} {os.environ.get('TOOL_PLAIN')} {names}"
        )
    if params.name == "ask":
        schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
        if context.protocol_version >= "2026":
            asking = types.ElicitRequestFormParams(message="Are you sure?", requested_schema=schema)
            return types.InputRequiredResult(input_requests={"sure": types.ElicitRequest(params=asking)})
        answer = await context.session.elicit_form("Are you sure?", schema, related_request_id=context.request_id)
        return _text(f"the answer is {answer.action}")
    if params.name == "big":
        return _text("x" * int(arguments.get("bytes", 0)))
    if params.name == "die" or (params.name == "die_once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os._exit(3)
    return _text("done")


async def _wait(context: Any, arguments: dict[str, Any]) -> types.CallToolResult:
    try:
        for number in range(int(float(arguments.get("seconds", 1)) * 10)):
            await asyncio.sleep(0.1)
            if arguments.get("progress"):
                await context.session.report_progress(number)
    except asyncio.CancelledError:
        note(cancelled=True)
        raise
    return _text("waited")


server = Server("caxton-test", on_list_tools=list_tools, on_call_tool=call_tool)


def main() -> None:
    """Serves until it is ended."""
    note(began=os.getpid())
    if len(sys.argv) > 2:
        import uvicorn

        app = server.streamable_http_app(stateless_http=False)
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
        return
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        if said("mood") == "mute":
            await asyncio.sleep(3_600)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    asyncio.run(serve())


if __name__ == "__main__":
    main()
