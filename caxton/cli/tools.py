"""`caxton tool deploy|list|show|call|logs`; others: :mod:`caxton.cli.tool_grants`, :mod:`caxton.cli.tool_starters`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from caxton.cli import tool_accept, tool_grants, tool_starters
from caxton.cli.agents import success
from caxton.cli.app import new_app
from caxton.cli.completions import complete_function, complete_tool
from caxton.cli.connection import connect
from caxton.cli.deploy import Yes
from caxton.cli.drains import draining, show_drains_of
from caxton.cli.interrupts import told_if_interrupted
from caxton.cli.invocation import current
from caxton.cli.output import (
    ago,
    clock,
    complain,
    emit,
    milliseconds,
    plain,
    prose,
    remark,
    say,
    style,
    wrapped,
)
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caxton.views.tools import ToolCallResult, ToolLogLine, ToolView

app = new_app(
    help="Add, make, deploy, list, show and call tools; their logs; what is granted to them.", no_args_is_help=True
)

ToolName = Annotated[
    str, typer.Argument(metavar="NAME", help="As `caxton tool list` shows it.", autocompletion=complete_tool)
]


@app.command()
def deploy(
    path: Annotated[Path, typer.Argument(help="Folder of a tool, with its tool.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change.")] = False,
    yes: Yes = False,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the list of deployments.")
    ] = "",
) -> None:
    """Deploy one tool from its folder, without the rest of a workspace."""
    from caxton.cli.deploy import deploy_tool

    deploy_tool(path, dry_run=dry_run, yes=yes, message=message)


def _state(tool: "ToolView") -> str:
    """In which state it is; one that runs and takes no calls is quarantined, or rests because it keeps failing."""
    if tool.quarantined:
        return style("quarantined", "red")
    if tool.breaker and tool.breaker.state != "Closed":
        return style("resting", "red")
    return in_words(tool.state) if tool.state != "Running" else style("running", "green")


@app.command()
def release(
    name: ToolName, reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the log.")] = ""
) -> None:
    """Release a tool from quarantine: it takes calls again. Needs the role admin."""
    with connect() as caxton:
        tool = caxton.release_tool(name, reason)
    if current().json:
        emit(tool)
        return
    prose(f'"{tool.name}" takes calls again')


@app.command("list")
def list_tools() -> None:
    """List the tools that are deployed."""
    with connect() as caxton:
        tools = caxton.tools()
    if current().json:
        emit({"tools": tools})
        return
    if not tools:
        prose("no tools are deployed")
        remark("Next: caxton tool add csv-tools, or caxton tool init NAME --language javascript; then caxton deploy")
        return
    rows = [
        [
            tool.name,
            tool.version,
            _state(tool),
            "" if tool.sandboxed else style("not sandboxed", "yellow"),
            ", ".join(function.name for function in tool.functions),
            success(tool.statistics),
        ]
        for tool in tools
    ]
    for line in table(rows, ["tool", "version", "state", "", "functions", "calls"]):
        say(line)


@app.command()
def show(name: ToolName) -> None:
    """Show one tool: its functions with their parameters, limits, permissions, and statistics."""
    with connect() as caxton:
        tool = caxton.tool(name)
        drains = [each for each in draining(caxton) if (each.kind, each.name) == ("tool", tool.name)]
    if current().json:
        emit({**tool.model_dump(mode="json"), "draining": drains})
        return
    prose(f"{style(tool.name, 'bold')} {tool.version}  {_state(tool)}{f'  {tool.reason}' if tool.reason else ''}")
    show_drains_of(drains)
    if tool.quarantined:
        say(style(f"  takes no calls: {tool.quarantined}", "yellow"))
        remark(f"  let it: caxton tool release {tool.name}")
    elif tool.breaker and tool.breaker.state != "Closed":
        say(style(f"  {tool.breaker.message}: {tool.breaker.failures} failures, {tool.breaker.last_error}", "yellow"))
        remark(f"  at once: caxton breaker reset tool {tool.name}")
    if tool.description:
        for line in wrapped(tool.description, indent="  ", everywhere=True):
            say(line)
    for function in tool.functions:
        say()
        title = style(f"{tool.name}.{function.name}", "bold")
        prose(f"  {title}")
        for line in wrapped(function.description, indent="    ", everywhere=True) if function.description else ():
            say(line)
        for line in table(_parameters(function.inputSchema), indent="    "):
            say(line)
    say()
    for line in table(_facts(tool), indent="  "):
        say(line)


@app.command()
def call(
    function: Annotated[
        str,
        typer.Argument(
            metavar="NAME.FUNCTION", help="As `caxton tool show NAME` shows it.", autocompletion=complete_function
        ),
    ],
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            "-a",
            metavar="KEY=VALUE",
            help="An argument; JSON where the function's schema takes it so. Repeatable.",
        ),
    ] = None,
    args: Annotated[str | None, typer.Option(metavar="JSON", help='All arguments; "-" reads them from stdin.')] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where files of the result go; here if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same name.")] = False,
) -> None:
    """Call a function of a tool in its sandbox, without an agent."""
    from caxton.cli.artifacts import tell_file, write
    from caxton.cli.tool_arguments import read_arguments
    from caxton.domain.errors import NotFound, ToolError, UsageError

    name, dot, function_name = function.partition(".")
    if not dot:
        raise UsageError(f'"{function}" names no function', f"see them with `caxton tool show {function}`")
    with connect() as caxton:

        def schema() -> Mapping[str, Any]:
            try:
                functions = caxton.tool(name).functions
            except NotFound:
                return {}  # the call says so, in more words
            return next((each.inputSchema for each in functions if each.name == function_name), dict[str, Any]())

        with told_if_interrupted(f"The call goes on at the server until it ends. See: caxton tool logs {name}"):
            result = caxton.call_tool(name, function_name, read_arguments(args, argument or [], schema))
        folder = out or Path.cwd()
        files = [write(folder, each.name, caxton.blob(each.digest), force=force) for each in result.artifacts]
    if current().json:
        emit({**result.model_dump(mode="json"), "files": [str(file) for file in files]})
    else:
        _show_result(result)
        for file in files:
            tell_file(file)
        remark(style(f"({_usage(result)})", "dim"))
    if result.is_error:
        raise typer.Exit(ToolError.exit_code)


@app.command()
def logs(
    name: ToolName,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many lines.")] = 50,
) -> None:
    """Show the latest calls of a tool and what it logged, oldest first."""
    with connect() as caxton:
        lines = caxton.tool_logs(name, limit)
    if current().json:
        emit({"lines": lines})
        return
    if not lines:
        prose(f"no agent has called {name} yet")
    for row in table(_log_rows(lines), ["time", "agent", "function", "outcome", "took", "logged", "turn"]):
        say(row)


def _log_rows(lines: "Iterable[ToolLogLine]") -> "Iterator[list[str]]":
    """A row a call, and one for each further line that it logged."""
    before: tuple[object, ...] = ()
    for line in sorted(lines, key=lambda each: each.at):
        call = (line.at, line.execution_id, line.function)
        if line.line is not None and call == before:
            yield ["", "", "", "", "", plain(line.line), ""]
            continue
        before = call
        outcome = "ok" if line.ok else style(line.error_code or "failed", "red")
        turn = style(line.execution_id or "", "dim")
        took = milliseconds(line.duration_ms)
        yield [
            clock(line.at),
            line.agent or "–",
            line.function or "",
            outcome,
            took,
            plain(line.line or ""),
            turn,
        ]


def _show_result(result: "ToolCallResult") -> None:
    import json

    from caxton.domain.tool_texts import text_of_parts, whole_text

    for line in result.log:
        complain(style(f"log: {line}", "dim"))
    text = text_of_parts(result.content)
    if result.is_error:
        text = whole_text(result.content, result.structured, is_error=True)
        complain(f"{style('error:', 'bold', 'red')} the tool reported: {text}")
    elif text:
        say(text)
    elif result.structured is not None:
        say(json.dumps(result.structured, indent=2, ensure_ascii=False))


def _usage(result: "ToolCallResult") -> str:
    from caxton.domain.quantities import format_size

    usage = result.usage
    memory = f" · {format_size(usage.memory)} memory" if usage.memory else ""
    if not usage.fuel:  # outside of the sandbox nothing else is known
        return f"{usage.wall_ms:.1f} ms"
    return f"{usage.wall_ms:.1f} ms · {usage.cpu_ms:.1f} ms CPU · {usage.fuel:,} fuel{memory}"


def _parameters(schema: dict[str, Any]) -> list[list[str]]:
    required = set(schema.get("required", []))
    rows: list[list[str]] = []
    for name, parameter in schema.get("properties", {}).items():
        kind = parameter.get("type", "any")
        kind = "|".join(map(str, cast("list[Any]", kind))) if isinstance(kind, list) else str(kind)
        needed = "required" if name in required else f"default {parameter['default']}" if "default" in parameter else ""
        rows.append([name, kind, needed, str(parameter.get("description", ""))])
    return rows


def _facts(tool: "ToolView") -> list[list[str]]:
    from caxton.domain.quantities import format_duration, format_size

    limits = dict(tool.limits)
    shown = {
        "memory": format_size(limits["memory"]) if "memory" in limits and tool.sandboxed else "",
        "fuel": f"{limits['fuel']:,}" if "fuel" in limits and tool.sandboxed else "",
        "wall time": format_duration(limits["wall_time"]) if "wall_time" in limits else "",
        "message": format_size(limits["message_size"]) if "message_size" in limits else "",
    }
    requested = [*tool.permissions.get("network", []), *tool.permissions.get("environment", [])]
    folders: list[dict[str, Any]] = tool.permissions.get("files", [])
    requested += [] if tool.sandboxed or (tool.server or "").startswith("http") else [f"to start {tool.server}"]
    requested += [f"{folder['at']}{' (write)' if folder.get('write') else ''}" for folder in folders]
    facts = [
        ["limits", ", ".join(f"{name} {value}" for name, value in shown.items() if value)],
        ["requests", ", ".join(requested) or "nothing: no network, no files, no environment"],
        *([["not granted", style(", ".join(tool.ungranted), "yellow")]] if tool.ungranted else []),
        *([["grant it", tool.grant or ""]] if tool.ungranted else []),
        ["form", tool.form if tool.sandboxed else style("an MCP server, not sandboxed", "yellow")],
        *([["server", tool.server or ""]] if not tool.sandboxed else []),
        *([["surface", (tool.surface or "")[:12]]] if not tool.sandboxed else []),
        ["used", success(tool.statistics)],
        ["deployed", f"{ago(tool.updated_at)}  {tool.deployment_id or ''}".rstrip()],
        ["digest", tool.digest[:12]],
    ]
    statistics = tool.statistics
    if statistics and statistics.calls:
        more = [f"p95 {milliseconds(statistics.p95_ms)}"] if statistics.p95_ms is not None else []
        more += [f"CPU {milliseconds(statistics.mean_cpu_ms)}"] if statistics.mean_cpu_ms is not None else []
        more += [f"memory {format_size(statistics.peak_memory)}"] if statistics.peak_memory else []
        used = next(index for index, fact in enumerate(facts) if fact[0] == "used")
        facts.insert(used + 1, ["", ", ".join([*more, f"last {ago(statistics.last_used)}"])])
    return facts


app.command("add")(tool_starters.add)
app.command("init")(tool_starters.init)
app.command("wit")(tool_starters.wit)
app.command("accept")(tool_accept.accept)
app.command("grant")(tool_grants.grant)
app.command("grants")(tool_grants.grants)
app.command("revoke-grant")(tool_grants.revoke_grant)
