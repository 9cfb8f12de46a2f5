"""A server as a child process: MCP's messages as lines on its standard input and output.

The SDK's own transport reads lines of any length, and hands the child variables of the server's environment.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caxton.adapters.mcp import launch
from caxton.adapters.mcp.meter import Meter, ServerLog
from caxton.adapters.sandbox.results import parse_json
from caxton.domain.json_schemas import Malformed

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""Variables that a child gets without a grant: nothing that is a secret."""

PATIENCE: Final = 2.0
"""Seconds that a child has to end after its input was closed, and again after it was told to."""

_LOOK: Final = 0.02


class NotStarted(Exception):
    """The program cannot be started; the text says why."""


class StdioServer:
    """One child process."""

    def __init__(self, words: Sequence[str], variables: Mapping[str, str], meter: Meter, log: ServerLog) -> None:
        """Prepare to start a program.

        Args:
            words: the program and its arguments.
            variables: what it is granted of the server's environment.
            meter: bounds what it sends.
            log: keeps what it writes to standard error.
        """
        self._words = words
        self._variables = variables
        self._meter = meter
        self._log = log
        self.ended = asyncio.Event()
        """Set when nothing more comes from it."""

    @asynccontextmanager
    async def transport(self) -> "AsyncGenerator[TransportStreams, None]":
        """Starts the program and gives the streams that the SDK works on; ends it, and all that it started, at the end.

        Raises:
            NotStarted: it cannot be started.
        """
        import anyio
        from mcp.shared.message import SessionMessage

        incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        with tempfile.TemporaryDirectory(prefix="caxton-mcp-", ignore_cleanup_errors=True) as folder:
            process = self._start(folder)
            tasks: list[asyncio.Task[None]] = []
            try:
                reader, errors, writer = await _pipes(process, self._meter.message_size)
                tasks = [
                    asyncio.create_task(self._read(reader, incoming)),
                    asyncio.create_task(self._write(to_send, writer)),
                    asyncio.create_task(self._keep_log(errors)),
                ]
                yield received, outgoing
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                for stream in (incoming, received, outgoing, to_send):
                    stream.close()

    def _start(self, folder: str) -> "subprocess.Popen[bytes]":
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(self._variables)
        program = shutil.which(self._words[0], path=environment.get("PATH"))
        if program is None:
            raise NotStarted(f"there is no program {self._words[0]} on this machine")
        words = [program, *self._words[1:]]
        if sys.platform == "linux":
            words = [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid()), *words]
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=folder,
                start_new_session=True,  # a Ctrl-C is for the server; and so all that it starts can be ended with it
            )
        except OSError as error:
            raise NotStarted(f"{self._words[0]} cannot be started: {error.strerror}") from None

    async def _read(self, reader: asyncio.StreamReader, incoming: Any) -> None:
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        try:
            async with incoming:
                while True:
                    line = await reader.readuntil(b"\n")
                    self._meter.count(len(line))
                    try:
                        message = jsonrpc_message_adapter.validate_python(parse_json(line), by_name=False)
                    except (Malformed, ValueError):
                        continue  # many print other things there
                    await incoming.send(SessionMessage(message))
        except asyncio.LimitOverrunError:
            self._meter.exceeded = True
        except Exception:  # noqa: S110 - it has ended, sends too much, or nobody listens any more
            pass
        finally:
            self.ended.set()

    async def _write(self, to_send: Any, writer: asyncio.StreamWriter) -> None:
        try:
            async with to_send:
                async for sent in to_send:
                    text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    writer.write(text.encode() + b"\n")
                    await writer.drain()
        except Exception:
            self.ended.set()  # it takes no more
        finally:
            writer.close()

    async def _keep_log(self, errors: asyncio.StreamReader) -> None:
        while chunk := await errors.read(8_192):
            for line in chunk.splitlines():
                self._log.add(line)


async def _pipes(
    process: "subprocess.Popen[bytes]", message_size: int
) -> tuple[asyncio.StreamReader, asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    reader, errors = asyncio.StreamReader(limit=message_size), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(errors), process.stderr)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), process.stdin
    )
    return reader, errors, asyncio.StreamWriter(transport, protocol, None, loop)


async def _end(process: "subprocess.Popen[bytes]") -> None:
    """Closes its input, then tells it to end, then ends it; with all processes that it started and that stay in its group."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    if not await _has_ended(process, PATIENCE):
        _tell(process, signal.SIGTERM)
        await _has_ended(process, PATIENCE)
    _tell(process, signal.SIGKILL)  # also what it left behind
    await _has_ended(process, PATIENCE)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


async def _has_ended(process: "subprocess.Popen[bytes]", patience: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while process.poll() is None:
        if loop.time() >= until:
            return False
        await asyncio.sleep(_LOOK)
    return True


def _tell(process: "subprocess.Popen[bytes]", what: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, what)
