"""MCP servers as tools. Secrets are not carried over: files name the variables that hold them."""

import re
import shlex
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from caxton.definitions.imports.fields import table, texts
from caxton.definitions.imports.found import VERSION, Found, free_name, name_of
from caxton.domain.memory_functions import INSTEAD
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.never_granted import FOR_TOOLS, variable_problem

_VARIABLE = re.compile(r"\$\{(?:env\.|env:)?([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_NAMED = re.compile(r"env:(\w+)")
_SCHEME = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9-]{0,30}) )?(?P<rest>.+)")
_PRIVATE = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)
_RUNNERS = ("npx", "uvx", "docker", "node", "python", "python3", "bunx", "deno")
_WORDS_OF_RUNNERS = ("-y", "--yes", "run", "-i", "--rm", "-m")


def add_server(found: Found, where: str, given: Mapping[str, Any], named: str | None) -> str | None:
    """Adds the tool that an MCP server is. Returns its name; None if the server is not told in full."""
    remote = table(given.get("remote"))
    url, command = remote.get("url") or given.get("url"), given.get("command")
    if not url and not command:
        found.note(
            where,
            f'the MCP server "{given.get("ref") or named or "?"}" is named without an address or a command',
            "write tools/NAME/tool.toml with its url or command, and put NAME into the agent's tools",
        )
        return None
    args = texts(given.get("args"))
    meant = name_of(named or _guess(str(url or command), args), "mcp-server")
    name = free_name(INSTEAD if meant == MEMORY else meant, "mcp-server", found.tools)
    kept = dict[str, str]()
    server: dict[str, Any] = {"url": str(url)} if url else {"command": str(command), "args": args or None}
    data: dict[str, Any] = {"name": name, "version": VERSION}
    if url:
        headers = table(remote.get("headers") or given.get("headers"))
        kept = {
            header: value
            for header, text in headers.items()
            if (value := _header(found, f"{where}.headers.{header}", header, str(text))) is not None
        }
        server["headers"] = kept or None
        if remote.get("transport_type") == "sse":
            found.note(f"{where}.transport_type", "SSE is the old transport: the server has to speak Streamable HTTP")
    server["functions"] = texts(given.get("tools")) or None
    data["mcp_server"] = server
    variables = _environment(found, f"{where}.env", given.get("env"))
    if variables:
        data["permissions"] = {"environment": variables}
    found.tools[name] = data
    named_in_headers = [match[1] for value in kept.values() if (match := _NAMED.search(value))]
    place = _origin(str(url)) if url else shlex.quote(shlex.join([str(command), *args]))
    words = ["caxton tool grant", name, "--network" if url else "--command", place]
    words += [f"--environment {variable}" for variable in dict.fromkeys([*variables, *named_in_headers])]
    first = "" if url else "name its command in tools.allowed_commands of the settings, and "
    found.note(
        where, f'the tool "{name}" runs outside of the sandbox: an operator has to {first}grant it', " ".join(words)
    )
    return name


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _guess(place: str, args: list[str]) -> str:
    """What to call a server: its host, or the package that its command runs."""
    if place.startswith(("http:", "https:")):
        host = place.split("/")[2].partition(":")[0]
        parts = [
            part for part in host.split(".") if part not in ("www", "mcp", "api", "com", "org", "net", "io", "dev")
        ]
        return parts[0] if parts else host
    program = place.rpartition("/")[2]
    words = [word for word in args if word not in _WORDS_OF_RUNNERS and not word.startswith("-")]
    if program in _RUNNERS and words:
        program = words[0].rpartition("/")[2].partition("@")[0] or words[0]
    return re.sub(r"^(mcp-server-|server-|mcp-)|(-mcp-server|-mcp)$", "", program) or program


def _header(found: Found, where: str, header: str, text: str) -> str | None:
    """A header without its secret."""
    matched = _SCHEME.fullmatch(text.strip())
    scheme, rest = (matched["scheme"], matched["rest"]) if matched else (None, text)
    variable = _VARIABLE.fullmatch(rest)
    if variable is not None:
        name = _for_tools(variable[1] or variable[2])
        if name not in variable.groups():
            found.note(where, "no tool gets a variable of that name", f"set {name} in the server's environment")
        return f"{scheme} env:{name}" if scheme else f"env:{name}"
    if _VARIABLE.search(text) or _PRIVATE.search(header):
        found.note(where, "a secret is not carried over", 'put it into a variable, and write "Bearer env:NAME"')
        return None
    return text


def _environment(found: Found, where: str, given: object) -> list[str]:
    """The variables that a program gets."""
    pairs: dict[str, str] = (
        {each.partition("=")[0]: each.partition("=")[2] for each in texts(cast("object", given))}
        if isinstance(given, list)
        else {name: str(value) for name, value in table(given).items()}
    )
    for name, value in pairs.items():
        variable = _VARIABLE.fullmatch(value)
        if value and (variable is None or (variable[1] or variable[2]) != name):
            found.note(
                f"{where}.{name}",
                "its value is not carried over",
                f"set {_for_tools(name)} in the server's environment",
            )
        if _for_tools(name) != name:
            found.note(
                f"{where}.{name}",
                "no tool gets a variable of that name",
                f"start the program by a script that takes it from {_for_tools(name)}",
            )
    return [_for_tools(name) for name in pairs]


def _for_tools(name: str) -> str:
    """The variable, or where no operator could grant it the name of one that is made for tools."""
    return name if variable_problem(name) is None else f"{FOR_TOOLS}{name}"
