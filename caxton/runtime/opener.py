"""A process that opens turns, started by a worker (:mod:`caxton.runtime.opener_process`).

The first step of a message (route it, record it, and let an agent that answers at once answer) is pure Python, and takes
as long as everything else that a server does for the message: HTTP, the engine's client, workflows. In a process of its
own it has an interpreter to itself. It works on the same database by the same code, so a worker that has lost it does
the same work itself.

Frames come on standard input, a socket, and go back the same way: :data:`HEADER`, then a body. The first brings the
settings; each other one steps as JSON (:class:`Wanted` says what for), and is answered by a pickled :class:`Opened`. It ends
when its input does.
"""

import asyncio
import logging
import pickle
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from pydantic import TypeAdapter

from caxton import __version__
from caxton.activities.batch import STEPS, Batch, end_turns
from caxton.activities.step import StepPorts
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import TurnOutcome, TurnView
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent
from caxton.observability.logs import configure_logging
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import setup_tracing
from caxton.runtime.ahead import Ahead
from caxton.runtime.collector import spare_the_collector
from caxton.runtime.settings import Settings
from caxton.runtime.wiring import build_opener_ports

log = logging.getLogger(__name__)

HEADER = struct.Struct("<BQI")
"""What a frame is for, its number, and the length of its body in bytes."""


class Wanted(IntEnum):
    """What is to become of a frame's steps."""

    START = 0
    """There are none: it brings the settings."""
    PREPARE = 1
    """They will be asked for soon by another frame, so this one has no answer."""
    OPEN = 2
    """All of them are done."""
    END = 3
    """Those that end their turns are done."""


OUTCOMES = TypeAdapter(list[TurnOutcome | None])
"""How turns ended; None for those that go on."""

Count = tuple[str, tuple[Any, ...]]
"""Name of a method of :class:`caxton.observability.metrics.Metrics`, and what it is called with."""


Told = tuple[str, Mapping[str, Any]]
"""Kind and data of a stream event; a reply's turn is JSON."""


@dataclass(frozen=True)
class Start:
    """What the process is told first."""

    settings: Settings
    log_level: str


@dataclass(slots=True)
class Opened:
    """What came of a frame of steps."""

    results: bytes | None = None
    """Of all its steps, as JSON: results, or how turns ended (null where they go on). None when the store failed, and the worker
    had better find out itself."""
    was_prepared: bool = False
    """Whether it had been prepared before it was asked for."""
    told: dict[ExecutionId, list[Told]] = field(default_factory=dict[ExecutionId, list[Told]])
    """What listeners to a turn get to hear."""
    counted: list[Count] = field(default_factory=list[Count])
    """What the worker's metrics are to count."""


class _Kept:
    """The DeltaStream port: keeps what is published for the process that has listeners."""

    def __init__(self) -> None:
        self.told: dict[ExecutionId, list[Told]] = {}

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "reply":  # what came before it would come with it
            turn: TurnView = data["turn"]
            self.told[execution_id] = [(kind, {"turn": turn.model_dump_json()})]
        else:
            self.told.setdefault(execution_id, []).append((kind, data))

    def subscribe(self, execution_id: ExecutionId, on_event: Callable[[StreamEvent], None]) -> Callable[[], None]:
        raise NotImplementedError("nobody listens here")


async def serve(connection: socket.socket) -> None:
    """Opens turns until the other side closes `connection`."""
    reader, writer = await asyncio.open_connection(sock=connection)
    _, _, first = await read_frame(reader)
    start: Start = pickle.loads(first)  # noqa: S301 - from our own parent, by a socket that nobody else has
    ports, counted, close = _build(start)
    spare_the_collector()
    tasks: set[asyncio.Task[None]] = set()

    def send(wanted: Wanted, number: int, opened: Opened) -> None:
        opened.counted, counted[:] = list(counted), []
        writer.write(frame(wanted, number, pickle.dumps(opened, pickle.HIGHEST_PROTOCOL)))

    turns = _Turns(ports)

    async def answer(wanted: Wanted, number: int, body: bytes) -> None:
        send(wanted, number, await (turns.end(body) if wanted is Wanted.END else turns.open(body)))

    send(Wanted.START, 0, Opened())  # it is ready
    try:
        while True:
            wanted, number, body = await read_frame(reader)
            if wanted is Wanted.PREPARE:
                turns.expect(body)
                continue
            task = asyncio.create_task(answer(wanted, number, body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the worker has ended
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)
        close()


def frame(wanted: Wanted, number: int, body: bytes) -> bytes:
    """`body` as it is sent."""
    return HEADER.pack(wanted, number, len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[Wanted, int, bytes]:
    """What the next frame is for, its number and its body.

    Raises:
        asyncio.IncompleteReadError: the other side has ended.
    """
    wanted, number, length = HEADER.unpack(await reader.readexactly(HEADER.size))
    return Wanted(wanted), number, await reader.readexactly(length)


class _Turns:
    """Opens turns, some of which it has prepared already."""

    def __init__(self, ports: StepPorts) -> None:
        self._ports = ports
        self._ahead = Ahead(self._batch)

    def expect(self, steps: bytes) -> None:
        """Prepares `steps`."""
        try:
            self._ahead.begin(steps)
        except Exception as error:
            log.error("turns could not be prepared", extra={"error": type(error).__name__})

    async def open(self, steps: bytes) -> Opened:
        """Does `steps`."""
        try:
            prepared = await self._ahead.take(steps)
            batch = prepared or self._batch(steps)
            if prepared is None:
                await batch.prepare()
            results = await batch.finish_as_json()
            stream = batch.ports.stream
            assert isinstance(stream, _Kept)
            return Opened(results, prepared is not None, stream.told)
        except Exception as error:
            return _failed(error)

    async def end(self, steps: bytes) -> Opened:
        """Does those of `steps` that end their turns, and leaves the others."""
        try:
            stream = _Kept()
            outcomes = await end_turns(replace(self._ports, stream=stream), STEPS.validate_json(steps))
            return Opened(OUTCOMES.dump_json(outcomes, exclude_unset=True), told=stream.told)
        except Exception as error:
            return _failed(error)

    def _batch(self, steps: bytes) -> Batch:
        return Batch.of_json(replace(self._ports, stream=_Kept()), steps)


def _failed(error: Exception) -> Opened:
    if not isinstance(error, CaxtonError):
        log.error("turns could not be opened", extra={"error": type(error).__name__})
    return Opened()


def _build(start: Start) -> tuple[StepPorts, list[Count], Callable[[], None]]:
    settings = start.settings
    configure_logging(start.log_level, settings.log.format)
    telemetry = settings.telemetry
    stop_tracing = setup_tracing(telemetry.otlp_endpoint, telemetry.service_name, telemetry.sample_ratio, __version__)
    counted: list[Count] = []
    METRICS.hand_on(lambda name, given: counted.append((name, given)))
    ports, close_ports = build_opener_ports(settings)

    def close() -> None:
        close_ports()
        stop_tracing()

    return ports, counted, close


def main() -> None:
    """Runs the process."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=0)))
