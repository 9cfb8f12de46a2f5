"""Commands: WASI preview 1 programs that speak MCP over standard input and output, one run a call.

The whole conversation is written beforehand (initialize, initialized, the request), so a program that reads until the
end of its input answers and ends. It takes existing stdio servers as they are, as long as they answer before they end.
"""

import ctypes
import functools
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from caxton import __version__
from caxton.adapters.sandbox.classify import mentions_memory
from caxton.adapters.sandbox.descriptors import Descriptors, Stdin
from caxton.adapters.sandbox.engine import Runtime
from caxton.adapters.sandbox.host import LOG_LINE_LENGTH, LOG_LINES, Run
from caxton.adapters.sandbox.instances import fresh_store
from caxton.adapters.sandbox.output import Output
from caxton.adapters.sandbox.program import CommandFailed, Reply, TooLarge
from caxton.adapters.sandbox.results import Malformed, find_reply, parse_tool_list
from caxton.adapters.sandbox.shape import unpack
from caxton.adapters.sandbox.wasi import add_wasi

if TYPE_CHECKING:
    from wasmtime import Engine, Linker, WasiConfig

PROTOCOL: Final = "2025-06-18"
"""Revision of MCP that Caxton speaks."""

PAGES: Final = 20
"""Pages of tools/list that are asked for."""

_REQUEST_ID: Final = 2
_ENVELOPE: Final = 64 << 10
"""Bytes that a command may print around its answer: the reply to initialize, notifications, JSON-RPC itself."""

_STDOUT: Final = 1
_STDERR: Final = 2


def _linker(engine: "Engine", files: bool) -> "Linker":
    import wasmtime

    linker = wasmtime.Linker(engine)
    add_wasi(linker, files=files)
    return linker


class CommandProgram:
    """A compiled command that is ready to run."""

    def __init__(self, runtime: Runtime, compiled: bytes, files: bool) -> None:
        """Load what the compiler made.

        Args:
            runtime: the engine.
            compiled: from Caxton's own cache.
            files: whether it will be granted folders.
        """
        import wasmtime

        self._runtime = runtime
        self._shape, code = unpack(compiled)
        module = wasmtime.Module.deserialize(runtime.engine, code)
        linker = runtime.linker(("commands", files), functools.partial(_linker, files=files))
        self._instance = linker.instantiate_pre(module)

    def describe(self, run: Run) -> list[dict[str, Any]]:
        """The functions that the server offers, all pages of them.

        Raises:
            Stopped: the module was stopped.
            CommandFailed: it did not answer.
            TooLarge: its answer is larger than it may be.
            Malformed: it answered something else than a tools/list result.
        """
        functions: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(PAGES):
            reply = self._ask(run, "tools/list", json.dumps({"cursor": cursor} if cursor else {}))
            if "error" in reply:
                raise Malformed(f"it answered tools/list with the error {_error_text(reply)[:200]}")
            page, cursor = parse_tool_list(reply["result"])
            functions += page
            if cursor is None:
                return functions
            run.restart_clock()
        raise Malformed(f"it has more than {PAGES} pages of functions")

    def call(self, run: Run, function: str, arguments: str) -> Reply:
        """Calls a function with arguments as JSON.

        Raises:
            Stopped: the module was stopped.
            CommandFailed: it did not answer.
            TooLarge: its answer is larger than it may be.
        """
        reply = self._ask(run, "tools/call", f'{{"name":{json.dumps(function)},"arguments":{arguments}}}')
        return Reply(False, _error_text(reply)) if "error" in reply else Reply(True, reply["result"])

    def was_denied_memory(self, run: Run, function: str, arguments: str) -> bool:  # noqa: ARG002 - components need them
        """Whether a call that failed had (very probably) asked for memory and not got it.

        The peak of a core module is known. Growth is denied at the limit at the latest, and allocators double what they
        have: so a program that says that memory ended is believed from half of the limit on, one that crashed
        silently if it had all of it but 5 %.
        """
        peak, limit = run.peak_memory or 0, run.limits.memory
        return peak > limit * 0.95 or (peak > limit / 2 and mentions_memory(_stderr(run)))

    def _ask(self, run: Run, method: str, parameters: str) -> dict[str, Any]:
        output, exit_code = self.run(run, _conversation(method, parameters))
        line, reply = find_reply(output, _REQUEST_ID)
        if len(line) > run.limits.message_size:
            raise TooLarge(len(line))
        if reply is None:
            printed = "printed nothing" if not output else f"printed {len(output)} bytes without an answer to {method}"
            raise CommandFailed(f"it {printed} and ended", exit_code)
        return reply

    def run(self, run: Run, stdin: bytes, arguments: Sequence[str] = ("tool",)) -> tuple[bytes, int]:
        """Runs the program; what it printed, and its exit code.

        Raises:
            Stopped: it was stopped.
            CommandFailed: it could not be started.
            TooLarge: it printed more than it may.
        """
        import wasmtime

        exit_code = 0
        run.outputs = {
            _STDOUT: Output(2 * run.limits.message_size + _ENVELOPE),
            _STDERR: Output(LOG_LINES * LOG_LINE_LENGTH),
        }
        try:
            with fresh_store(self._runtime, run, self._shape) as store, _files(run, stdin):
                store.set_wasi(_wasi(run, stdin, arguments))
                instance = self._instance.instantiate(store)
                exports = instance.exports(store)
                run.started = True
                try:
                    cast("wasmtime.Func", exports["_start"])(store)
                except wasmtime.ExitTrap as error:
                    exit_code = error.code
                finally:
                    run.peak_memory = cast("wasmtime.Memory", exports["memory"]).data_len(store)
        finally:
            run.log.add_text(_stderr(run))
            if run.outputs[_STDOUT].overflowed:  # the run was stopped because of it, whatever wasmtime said
                raise TooLarge(None)
        return bytes(run.outputs[_STDOUT].content), exit_code


def _conversation(method: str, parameters: str) -> bytes:
    initialize = {
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "caxton", "version": __version__},
    }
    lines = (
        f'{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{json.dumps(initialize)}}}',
        '{"jsonrpc":"2.0","method":"notifications/initialized"}',
        f'{{"jsonrpc":"2.0","id":{_REQUEST_ID},"method":"{method}","params":{parameters}}}',
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _error_text(reply: dict[str, Any]) -> str:
    error = reply["error"]
    message = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else "the tool reported an error without a message"


def _stderr(run: Run) -> str:
    return bytes(run.outputs[_STDERR].content).decode(errors="replace")


@contextmanager
def _files(run: Run, stdin: bytes) -> Generator[None]:
    """Keeps the granted folders open."""
    if not run.grants.folders:
        yield
        return
    run.files = Descriptors(Stdin(stdin))
    try:
        try:
            run.files.preopen(run.grants.folders)
        except OSError as error:
            raise CommandFailed(f"a folder that it was granted can no longer be opened: {error.strerror}") from None
        yield
    finally:
        run.files.close_all()


def _wasi(run: Run, stdin: bytes, arguments: Sequence[str]) -> "WasiConfig":
    """What the program sees of the world beside folders: its input and the granted variables."""
    import wasmtime

    config = wasmtime.WasiConfig()
    config.argv = list(arguments)
    config.env = list(run.grants.environment.items())
    _set_stdin(config, stdin)
    return config


def _set_stdin(config: "WasiConfig", content: bytes) -> None:
    """Standard input from memory. wasmtime-py has no public way; the alternative is a file a call."""
    from wasmtime import _ffi as ffi  # pyright: ignore[reportPrivateUsage]

    vector = ffi.bytes_to_capi(content)
    ffi.wasi_config_set_stdin_bytes(config.ptr(), ctypes.byref(vector))
