"""Configurations of MCP clients: where each keeps them, and what Caxton's entry says. It refers to the key, and never has it."""

import difflib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from caxton.domain.errors import Hint, InvalidInput, UsageError

if TYPE_CHECKING:
    from caxton.client.discovery import Connection

KEY_VARIABLE: Final = "CAXTON_API_KEY"


@dataclass(frozen=True, slots=True)
class Client:
    """A client that keeps its servers in a JSON file."""

    title: str
    servers: str
    """The object that has them."""
    variable: str | None
    """How its file refers to a variable of the environment; None: it does not."""
    then: str
    """What to do when the file was written."""
    has_type: bool = False


CLIENTS: Final[Mapping[str, Client]] = {
    "claude": Client("Claude Desktop", "mcpServers", None, "Start Claude again."),
    "claude-code": Client("Claude Code", "mcpServers", "${%s}", "Start claude in this folder."),
    "cursor": Client("Cursor", "mcpServers", "${env:%s}", "Cursor asks whether to start the server."),
    "vscode": Client("VS Code", "servers", "${env:%s}", "Open this folder in VS Code and start the server.", True),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written."""

    file: Path
    before: str
    after: str
    then: str

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return self.before != self.after

    @property
    def diff(self) -> list[str]:
        """The change, as lines."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), "now", "then", lineterm="")
        return list(lines)[2:]

    def write(self) -> None:
        """Replaces the file.

        Raises:
            InvalidInput: it cannot be written, or has changed meanwhile.
        """
        if not self.changes:
            return
        target = self.file.resolve()  # a link stays one
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            if _text(self.file) != self.before:
                raise InvalidInput(f"{self.file} has changed meanwhile", "run the command again")
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(self.after, encoding="utf-8")
            if target.exists():
                shutil.copymode(target, unfinished)
            unfinished.replace(target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise InvalidInput(f"{self.file} cannot be written", reason=str(error)) from None


def plan(client: str, name: str, connection: "Connection", key_file: Path | None) -> Plan:
    """What the configuration of `client` would be with the server of `connection`.

    Args:
        client: one of CLIENTS.
        name: how it calls the server.
        connection: where to and as whom.
        key_file: a file with the key.

    Raises:
        UsageError: there is no such client.
        InvalidInput: its file cannot be understood, or the key could only be written in plain text.
    """
    known = CLIENTS.get(client)
    if known is None:
        raise UsageError(f'"{client[:50]}" is no client that is known here', f"write one of {', '.join(CLIENTS)}")
    file = _file(client)
    before = _text(file)
    try:
        found: Any = json.loads(before) if before.strip() else {}
        config = cast("dict[str, Any]", found)
        servers: Any = config.get(known.servers, {}) if isinstance(found, dict) else None
    except ValueError:
        servers = None
        config = {}
    entry = _entry(known, connection, key_file)
    if not isinstance(servers, dict):
        raise InvalidInput(
            f"{file} is not plain JSON with an object {known.servers}, so it is not touched",
            Hint(text=f'add this to {known.servers} yourself: "{name}": {json.dumps(entry)}'),
        )
    others = cast("dict[str, Any]", servers)
    after = {**config, known.servers: {**others, name: entry}}
    same = others.get(name) == entry
    text = before if same else json.dumps(after, indent=_indent(before), ensure_ascii=False) + "\n"
    return Plan(file, before, text, known.then)


def _entry(client: Client, connection: "Connection", key_file: Path | None) -> dict[str, Any]:
    """What a client has to know: the command, and where the key is."""
    command = _command()
    arguments = [*command[1:], "mcp", "--url", connection.url, "--workspace", connection.workspace]
    environment: dict[str, str] = {}
    if key_file is not None:
        arguments += ["--key-file", str(key_file.expanduser().resolve())]
    elif connection.key_from == KEY_VARIABLE:
        if client.variable is None:
            raise InvalidInput(
                f"{client.title} does not read {KEY_VARIABLE} of your shell, and the key is not written into its file",
                "put the key into a file that only you can read, and add --key-file FILE",
            )
        environment[KEY_VARIABLE] = client.variable % KEY_VARIABLE
    elif connection.key_from is not None:
        arguments += ["--key-file", str(Path(connection.key_from).expanduser().resolve())]
    else:
        raise InvalidInput(
            "no key was found that the client could use",
            f"set one in {KEY_VARIABLE}, or add --key-file FILE",
        )
    return {
        **({"type": "stdio"} if client.has_type else {}),
        "command": command[0],
        "args": arguments,
        **({"env": environment} if environment else {}),
    }


def _command() -> list[str]:
    """How this Caxton is started from anywhere."""
    beside = Path(sys.executable).with_name("caxton")
    found = str(beside) if beside.exists() else shutil.which("caxton")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "caxton"]


def _file(client: str) -> Path:
    home = Path.home()
    if client == "cursor":
        return home / ".cursor" / "mcp.json"
    if client == "vscode":
        return Path.cwd() / ".vscode" / "mcp.json"
    if client == "claude-code":
        return Path.cwd() / ".mcp.json"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Claude" / "claude_desktop_config.json"
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "Claude" / "claude_desktop_config.json"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read", reason=str(error)) from None


def _indent(text: str) -> int | str:
    """How a file is indented, so that nothing else in it changes."""
    for line in text.splitlines():
        space = line[: len(line) - len(line.lstrip())]
        if space:
            return "\t" if "\t" in space else len(space)
    return 2
