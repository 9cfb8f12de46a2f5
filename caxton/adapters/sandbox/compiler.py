"""Gets compiled code: from memory, from disk, or from a child process that compiles it under limits."""

import subprocess
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final, Literal

from caxton.adapters import confine
from caxton.adapters.sandbox.cache import CompiledFiles
from caxton.adapters.sandbox.compile import REFUSED
from caxton.adapters.sandbox.components import AgentProgram
from caxton.adapters.sandbox.program import Program
from caxton.domain.errors import InvalidModule

Form = Literal["component", "command", "agent"]
"""A tool as a component of its world or as a WASI command, or an agent as a component of its own world."""

MODULE_LIMIT: Final = 64 << 20
"""Bytes of a module; a Python tool has 18 MB, a Go tool 4 MB."""

TIME_LIMIT: Final = 300.0
"""Seconds on the clock for one compilation; componentize-py's 18 MB take 20 to 60 on two busy cores."""

_PREAMBLES: Final[dict[bytes, Form]] = {
    b"\0asm\x01\0\0\0": "command",
    b"\0asm\x0d\0\x01\0": "component",
}


def check_form(content: bytes, form: Form) -> None:
    """Checks the first bytes of a module, and its size.

    Raises:
        InvalidModule: it is not WebAssembly, or not of the form that its manifest says.
    """
    if len(content) > MODULE_LIMIT:
        raise InvalidModule(
            f"the module has {len(content) >> 20} MB, more than the {MODULE_LIMIT >> 20} MB that a module may have",
            "strip debug information and build for size",
        )
    found = _PREAMBLES.get(content[:8])
    if found is None:
        raise InvalidModule(
            "the module is not WebAssembly",
            '"module" names the .wasm file that the compiler made',
            details={"size": len(content)},
        )
    if form == "agent":
        if found == "component":
            return
        raise InvalidModule(
            "the module is a core module, and an agent is a component",
            "make a component of it, of the world caxton:agent/agent",
            details={"form": form, "found": found},
        )
    if found != form:
        says, fix = ("component", "command") if form == "component" else ("command", "component")
        raise InvalidModule(
            f"the module is a {found}, but tool.toml says that it is a {says}",
            f'write form = "{fix}" in tool.toml, or build a {says}',
            details={"form": form, "found": found},
        )


class Compiler:
    """Compiles modules, one child process each. Its methods block: call them off the event loop, from any thread."""

    def __init__(self, files: CompiledFiles, time_limit: float = TIME_LIMIT) -> None:
        """Keep compiled code in `files`; a compilation may take `time_limit` seconds."""
        self._files = files
        self._time_limit = time_limit

    def load(self, digest: str, form: Form) -> bytes | None:
        """The compiled code of the module with that SHA-256, if it was compiled before."""
        return self._files.load(digest, form)

    def compile(self, digest: str, form: Form, content: bytes) -> bytes:
        """Compiles `content`, whose SHA-256 is `digest`, and keeps the result.

        Raises:
            InvalidModule: it is not valid, has another shape than a tool, or costs more to compile than allowed.
        """
        check_form(content, form)
        with self._files.scratch() as folder:
            source, target = Path(folder, "module.wasm"), Path(folder, "module.cwasm")
            source.write_bytes(content)
            self._run_child(form, source, target)
            compiled = target.read_bytes()
        self._files.store(digest, form, compiled)
        return compiled

    def _run_child(self, form: Form, source: Path, target: Path) -> None:
        command = confine.command("caxton.adapters.sandbox.compile", form, str(source), str(target))
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=confine.environment(),
                cwd=source.parent,
                timeout=self._time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InvalidModule(
                f"compiling the module took longer than {self._time_limit:g} s",
                "build it for size, or split it into smaller tools",
                details={"limit": "compile_time", "value": self._time_limit},
            ) from error
        if done.returncode == REFUSED:
            reason = done.stdout.decode(errors="replace")[:500]
            what = "an agent" if form == "agent" else f"a {form}"
            raise InvalidModule(f"the module is not {what} that Caxton can run: {reason}", _advice(form, reason))
        if done.returncode != 0 or not target.exists():
            limit = confine.ending(done.returncode)
            raise InvalidModule(
                f"compiling the module took more {_LIMITS[limit]} than a module of its size may take",
                "build it for size, or split it into smaller tools",
                reason=f"exit status {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}",
                details={"limit": f"compile_{limit}"},
            )


_LIMITS: Final = {"time": "CPU time", "memory": "memory"}


def _advice(form: Form, reason: str) -> str:
    if "wasi:" in reason:
        return "build the component without WASI, for example with componentize-py's or componentize-qjs's --stub-wasi"
    if form == "command":
        return "build an executable for wasm32-wasi (GOOS=wasip1 for Go), not a library"
    world = "agent" if form == "agent" else "tool"
    return f"build it for the world caxton:{world}/{world}, as bundled/wit/{world}.wit in Caxton's package has it"


class LoadedCode:
    """Code that is loaded into the engine, by module and form; the least recently used goes when there is too much."""

    def __init__(self, budget: int) -> None:
        """Hold code whose serialised size is at most `budget` bytes (the newest one stays in any case)."""
        self._budget = budget
        self._entries: OrderedDict[tuple[str, str], tuple[Program | AgentProgram, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> Program | AgentProgram | None:
        """The code, if it is loaded."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def clear(self) -> None:
        """Lets all of it go."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def put(self, key: tuple[str, str], code: Program | AgentProgram, size: int) -> None:
        """Keeps `code`. Calls that run keep what they use alive, so nothing is torn from under them."""
        with self._lock:
            if key in self._entries:
                self._size -= self._entries.pop(key)[1]
            self._entries[key] = (code, size)
            self._size += size
            while self._size > self._budget and len(self._entries) > 1:
                _, (_, freed) = self._entries.popitem(last=False)
                self._size -= freed
