"""An MCP server made with the official SDK, for tests: `python -m tests.support.mcp_server FOLDER [PORT]`.

It speaks on standard input and output, or over HTTP where a port is given. What it offers and how it behaves, the files of its
folder say, so that a test changes it while it runs: `surface` (a word in a description), `more` (another function), `mood`
(`mute`, `silent`, `huge`, `hostile`, `many`, `endless`; `old` speaks revision 2025-11-25 only). It notes in `log` what it was
told.
"""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp.shared.message import SessionMessage

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
        _tool(
            "ask",
            "Wants to ask a person.",
            {"asks": {"type": "string"}, "visit": {"type": "string"}, "slow": {"type": "boolean"}},
        ),
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
        return await _ask(context, params, arguments)
    if params.name == "big":
        return _text("x" * int(arguments.get("bytes", 0)))
    if params.name == "die" or (params.name == "die_once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os._exit(3)
    return _text("done")


async def _ask(
    context: Any, params: types.CallToolRequestParams, arguments: dict[str, Any]
) -> types.CallToolResult | types.InputRequiredResult:
    """Asks one after another what the arguments say, and tells what was answered. Pages that `visit` names have to be
    visited before: those that the file `visited` does not have."""
    pages = [page for page in json.loads(arguments.get("visit") or "[]") if page not in said("visited").split()]
    if pages:
        raise UrlElicitationRequiredError(
            [types.ElicitRequestURLParams(message="Sign in", url=page, elicitation_id=page) for page in pages]
        )
    sure = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
    default = json.dumps([{"message": "Are you sure?", "requestedSchema": sure}])
    asks, answers = json.loads(arguments.get("asks") or default), list[Any]()
    given: Any = params.input_responses or {}
    for number, each in enumerate(asks):
        if arguments.get("slow"):
            await asyncio.sleep(0.3)
        asking: Any = (
            types.ElicitRequestURLParams(message=each["message"], url=each["url"], elicitation_id="1")
            if "url" in each
            else types.ElicitRequestFormParams(message=each["message"], requested_schema=each["requestedSchema"])
        )
        if context.protocol_version >= "2026":
            answered: list[Any] = json.loads(params.request_state or "[]")
            if number < len(answered):
                answers.append(answered[number])
                continue
            if f"q{number}" not in given:
                request = types.ElicitRequest(params=asking)
                return types.InputRequiredResult(
                    input_requests={f"q{number}": request}, request_state=json.dumps(answers)
                )
            answer = given[f"q{number}"]
        else:
            asks_on = context.session
            answer = (
                await asks_on.elicit_url(each["message"], each["url"], "1", related_request_id=context.request_id)
                if "url" in each
                else await asks_on.elicit_form(
                    each["message"], each["requestedSchema"], related_request_id=context.request_id
                )
            )
        answers.append([answer.action, answer.content])
    note(answered=answers)
    return _text(json.dumps(answers))


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


async def without_discovery(reading: Any, writing: Any, onwards: Any) -> None:
    """Passes on what a client sends, as a server that does not know `server/discover`."""
    async for sent in reading:
        if getattr(sent.message, "method", None) == "server/discover":
            refused = types.ErrorData(code=types.METHOD_NOT_FOUND, message="Method not found")
            answer = types.JSONRPCError(jsonrpc="2.0", id=sent.message.id, error=refused)
            await writing.send(SessionMessage(answer))
        else:
            await onwards.send(sent)
    await onwards.aclose()


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
            if said("mood") == "old":
                onwards, old = anyio.create_memory_object_stream[Any](10)
                passing = asyncio.create_task(without_discovery(reading, writing, onwards))
                await server.run(old, writing, server.create_initialization_options())
                await passing
            else:
                await server.run(reading, writing, server.create_initialization_options())

    asyncio.run(serve())


if __name__ == "__main__":
    main()
