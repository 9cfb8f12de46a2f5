"""A process that opens turns, started by a worker (:mod:`caxton.runtime.opener_process`).

The first step of a message (route it, record it, and let an agent that answers at once answer) is pure Python, and takes
as long as everything else that a server does for the message: HTTP, the engine's client, workflows. In a process of its
own it has an interpreter to itself. It works on the same database by the same code, so a worker that has lost it does
the same work itself.

Frames come on standard input, a socket, and go back the same way: :data:`HEADER`, then a body. The first brings the
settings; each other one steps as JSON, and is answered by a pickled :class:`Opened`. It ends when its input does.
"""

import asyncio
import logging
import pickle
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from caxton import __version__
from caxton.activities.batch import Batch
from caxton.activities.step import StepPorts
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import TurnView
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

HEADER = struct.Struct("<QI")
"""Number of a frame and length of its body in bytes."""

AHEAD = (1 << 64) - 1
"""Number of a frame whose steps will be asked for soon by another frame: it has no answer."""

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
    """Of all its steps, as JSON; None when the store failed, and the worker had better find out itself."""
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
    _, first = await read_frame(reader)
    start: Start = pickle.loads(first)  # noqa: S301 - from our own parent, by a socket that nobody else has
    ports, counted, close = _build(start)
    spare_the_collector()
    tasks: set[asyncio.Task[None]] = set()

    def send(number: int, opened: Opened) -> None:
        opened.counted, counted[:] = list(counted), []
        writer.write(frame(number, pickle.dumps(opened, pickle.HIGHEST_PROTOCOL)))

    turns = _Turns(ports)

    async def answer(number: int, body: bytes) -> None:
        send(number, await turns.open(body))

    send(0, Opened())  # it is ready
    try:
        while True:
            number, body = await read_frame(reader)
            if number == AHEAD:
                turns.expect(body)
                continue
            task = asyncio.create_task(answer(number, body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the worker has ended
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)
        close()


def frame(number: int, body: bytes) -> bytes:
    """`body` as it is sent."""
    return HEADER.pack(number, len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The number and the body of the next frame.

    Raises:
        asyncio.IncompleteReadError: the other side has ended.
    """
    number, length = HEADER.unpack(await reader.readexactly(HEADER.size))
    return number, await reader.readexactly(length)


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
        except CaxtonError:
            return Opened()
        except Exception as error:
            log.error("turns could not be opened", extra={"error": type(error).__name__})
            return Opened()
        stream = batch.ports.stream
        assert isinstance(stream, _Kept)
        return Opened(results, prepared is not None, stream.told)

    def _batch(self, steps: bytes) -> Batch:
        return Batch.of_json(replace(self._ports, stream=_Kept()), steps)


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
