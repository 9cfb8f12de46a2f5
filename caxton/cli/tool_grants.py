"""`caxton tool grant|grants|revoke-grant`"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.completions import complete_tool
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, complain, emit, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from caxton.client import Caxton
    from caxton.domain.errors import UsageError
    from caxton.domain.grants import ToolGrant
    from caxton.domain.ids import Digest
    from caxton.views.agents import ComponentView

Tool = Annotated[str, typer.Argument(metavar="NAME", help="The tool.", autocompletion=complete_tool)]


def grant(
    name: Tool,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="ORIGIN", help="Such as https://api.example.com. Repeatable."),
    ] = None,
    environment: Annotated[
        list[str] | None, typer.Option("--environment", metavar="NAME", help="A variable of the server. Repeatable.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--files", metavar="PATH[:write]", help="A folder of the server, with all below it. Repeatable."),
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option("--command", metavar="LINE", help="An MCP server that may be started, unsandboxed. Repeatable."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="memory, fuel, wall_time or message_size. Repeatable."),
    ] = None,
    requested: Annotated[
        bool, typer.Option("--requested", help="All that the deployed tool requests and nobody has granted.")
    ] = False,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only for calls of this agent; else of all, and by hand.")
    ] = None,
    this_version: Annotated[
        bool, typer.Option("--this-version", help="Only for what is deployed now: no other code gets it by the name.")
    ] = False,
    function: Annotated[str | None, typer.Option(metavar="NAME", help="Only for this function.")] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--argument", metavar="NAME=PATTERN", help="Only where the argument fits, with * and ?. Repeatable."
        ),
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help='Time after which it ends, such as "8h".')] = None,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Calls after which it ends.")] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the log.")] = "",
) -> None:
    """Grant a tool what it requests: network, variables, folders, limits. Needs the role operator."""
    from pydantic import ValidationError

    from caxton.domain.grants import GrantRequest

    values: dict[str, Any] = {
        "tool": name,
        "network": network or [],
        "environment": environment or [],
        "files": [_folder(path) for path in files or []],
        "commands": command or [],
        "limits": _pairs("--limit", limit or [], "memory=256MB"),
        "agent": agent,
        "function": function,
        "arguments": _pairs("--argument", argument or [], "url=https://api.example.com/*"),
        "expires_in": expires,
        "count": count,
        "reason": reason,
    }
    with connect() as caxton:
        if requested:
            _add_requested(caxton, name, values)
        if this_version:
            values["digest"] = _digest(caxton, name)
        try:
            request = GrantRequest.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            raise _refusal(error.errors(include_url=False)[0]) from None
        made = caxton.grant_tool(request)
        warnings = _warnings(caxton, made)
    if current().json:
        emit({**made.model_dump(mode="json"), "warnings": warnings})
        return
    prose(f"{style(made.id, 'bold')}  {made.tool} may have {', '.join(made.told())}{_when(made)}")
    for warning in warnings:
        complain(f"{style('warning:', 'bold', 'yellow', stream=sys.stderr)} {warning}")
    remark(f"Undo: caxton tool revoke-grant {made.id}")


def grants(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only of this tool.", autocompletion=complete_tool)
    ] = None,
) -> None:
    """List grants to tools, with those that have ended."""
    from datetime import UTC, datetime

    with connect() as caxton:
        found = caxton.tool_grants(name)
    if current().json:
        emit(found)
        return
    if not found.grants:
        prose("nothing is granted: tools have the default limits and their own folders, and nothing else")
        remark("See what a tool requests: caxton tool show NAME")
        return
    now = datetime.now(UTC)
    rows = [
        [
            each.id,
            each.tool,
            ", ".join(each.told()),
            _when(each).removeprefix(" "),
            "" if each.holds(now) else style("ended", "yellow"),
            each.created_by or "settings",
            ago(each.created_at) if each.created_at else "",
        ]
        for each in found.grants
    ]
    for line in table(rows, ["id", "tool", "granted", "for", "", "by", "made"]):
        say(line)


def revoke_grant(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton tool grants` shows it.")],
) -> None:
    """Revoke a grant, from the next call on. Needs the role operator."""
    with connect() as caxton:
        ended = caxton.revoke_tool_grant(grant_id)
    if current().json:
        emit(ended)
        return
    prose(f"{ended.tool} no longer has {', '.join(ended.told())} by {ended.id}")


def _refusal(problem: "ErrorDetails") -> "UsageError":
    """What is wrong with a grant, by the options that were typed."""
    from caxton.cli.as_typed import option_of
    from caxton.domain.errors import UsageError
    from caxton.domain.grants import GrantedLimits
    from caxton.domain.validation_words import in_plain_words

    field, *inner = [str(part) for part in problem["loc"]] or [""]
    option = option_of(field, current().parameters)
    said = in_plain_words(problem["msg"])
    hint = "see `caxton tool grant --help`"
    if field == "limits" and problem["type"] == "extra_forbidden":
        return UsageError(
            f'{option}: there is no limit "{inner[0]}"', f"limits are {', '.join(GrantedLimits.model_fields)}"
        )
    if field == "environment" and problem["type"] == "string_pattern_mismatch":
        said = f'"{problem["input"]}" is not the name of a variable'
    return UsageError(f"{option}: {said}" if option else said, hint)


def _add_requested(caxton: "Caxton", name: str, values: dict[str, Any]) -> None:
    """Adds what the deployed tool requests and nobody has granted.

    Raises:
        UsageError: there is nothing.
    """
    from datetime import UTC, datetime

    from caxton.domain.errors import UsageError
    from caxton.domain.grants import for_any_call, missing
    from caxton.domain.tools import ToolManifest

    granted = caxton.tool_grants(name)
    manifest = ToolManifest.model_validate(_described(caxton, name))
    rights = for_any_call(granted.grants, datetime.now(UTC), _digest(caxton, name))
    lacking = missing(manifest, rights, granted.limits)
    if not lacking:
        raise UsageError(f"{name} has all that it requests", f"see what it has: caxton tool grants {name}")
    values["network"] += lacking.network
    values["environment"] += lacking.environment
    values["commands"] += lacking.commands
    values["files"] += [folder.model_dump() for folder in lacking.files]
    values["limits"] = {**lacking.limits, **values["limits"]}


def _described(caxton: "Caxton", name: str) -> dict[str, Any]:
    """The manifest of the tool of that name, or of the agent whose component is granted something as a tool would be.

    Raises:
        NotFound: there is no such tool.
    """
    from caxton.domain.errors import NotFound

    try:
        tool = caxton.tool(name)
    except NotFound as error:
        found = _component_of(caxton, name)
        if found is None:
            raise error from None
        component = {"module": found.module, "limits": found.limits, "permissions": found.permissions}
        return {"name": name, "version": "0.0.0", **component}
    described: dict[str, Any] = {"name": tool.name, "version": tool.version}
    described |= (
        {"module": "tool.wasm", "form": tool.form} if tool.sandboxed else {"mcp_server": _server(tool.server or "")}
    )
    return {**described, "limits": tool.limits, "permissions": tool.permissions}


def _digest(caxton: "Caxton", name: str) -> "Digest":
    """The deployed version of the tool of that name, or of the agent.

    Raises:
        NotFound: there is no such tool.
    """
    from caxton.domain.errors import NotFound
    from caxton.domain.ids import Digest

    try:
        return Digest(caxton.tool(name).digest)
    except NotFound as error:
        try:
            return Digest(caxton.agent(name).digest)
        except NotFound:
            raise error from None


def _component_of(caxton: "Caxton", name: str) -> "ComponentView | None":
    """What the file of the agent of that name says of its component; None if there is no such agent, or it has none."""
    from caxton.domain.errors import NotFound

    try:
        return caxton.agent(name).wasm
    except NotFound:
        return None


def _warnings(caxton: "Caxton", grant: "ToolGrant") -> list[str]:
    """Names in a grant that nothing has yet: it may come, or be misspelt."""
    from caxton.domain.errors import NotPermitted
    from caxton.domain.memory_functions import INSTEAD
    from caxton.domain.memory_functions import SERVER as MEMORY

    try:
        tools = {tool.name: tool for tool in caxton.tools()}
        agents = [agent.name for agent in caxton.agents()] if grant.agent else []
    except NotPermitted:  # who may grant need not be allowed to look
        return []
    tool = tools.get(grant.tool)
    if tool is None and _component_of(caxton, grant.tool) is not None:
        found = []
    elif grant.tool == MEMORY:
        found = [f'"{MEMORY}" is a built-in tool, which needs no grant: is yours called "{INSTEAD}"?']
    elif tool is None:
        found = [_unknown(f'no tool "{grant.tool}" is deployed', grant.tool, tools)]
    elif grant.function and grant.function not in (names := [function.name for function in tool.functions]):
        found = [_unknown(f'{grant.tool} has no function "{grant.function}"', grant.function, names)]
    else:
        parameters = {
            name
            for function in tool.functions
            if grant.function in (None, function.name)
            for name in function.inputSchema.get("properties", {})
        }
        found = [
            _unknown(f'no function that the grant is for has an argument "{name}"', name, parameters)
            for name in grant.arguments
            if name not in parameters
        ]
    if grant.agent and grant.agent not in agents:
        found.append(_unknown(f'no agent "{grant.agent}" is deployed', grant.agent, agents))
    return found


def _unknown(said: str, name: str, known: "Iterable[str]") -> str:
    from caxton.definitions.suggestions import did_you_mean

    return f"{said}: the grant has no effect until there is one{f'; {guess}' if (guess := did_you_mean(name, known)) else ''}"


def _server(place: str) -> dict[str, Any]:
    """An `[mcp_server]` from where it is: a URL or a command line."""
    import shlex

    if place.startswith(("http://", "https://")):
        return {"url": place}
    program, *arguments = shlex.split(place)
    return {"command": program, "args": arguments}


def _folder(text: str) -> dict[str, Any]:
    path, colon, mode = text.rpartition(":")
    if colon and mode in ("write", "read"):
        return {"path": path, "write": mode == "write"}
    return {"path": text}


def _pairs(option: str, pairs: list[str], example: str) -> dict[str, str]:
    from caxton.domain.errors import UsageError

    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f'"{pair}" is not a value of {option}', f"for example: {option} {example}")
        found[key] = value
    return found


def _when(grant: "ToolGrant") -> str:
    """For what and until when it holds."""
    parts = [f"agent {grant.agent}"] if grant.agent else []
    parts += [f"function {grant.function}"] if grant.function else []
    parts += [f"version {grant.digest[:12]}"] if grant.digest else []
    parts += [f"{name} like {pattern}" for name, pattern in grant.arguments.items()]
    parts += [f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC"] if grant.expires_at else []
    parts += [f"{grant.used} of {grant.count} calls used"] if grant.count is not None else []
    return f" ({', '.join(parts)})" if parts else ""
