"""A process that accepts requests for a server (:mod:`caxton.runtime.fast_path_process`).

Accepting a request (route it, record it, and let an agent that answers at once answer) is pure Python, and takes as long as all
else that a server does for the message: HTTP, the engine's client, workflows. In a process of its own it has an interpreter to
itself. It works on the same database by the same code, so a server that has lost it does the same work itself.

Frames come on standard input, a socket, and go back the same way: :data:`HEADER`, then a body. The first brings the settings;
each other one requests as JSON, and is answered by a pickled :class:`Answer`. It ends when its input does.
"""

import asyncio
import logging
import pickle
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from caxton import __version__
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import Accepted, TurnRequest, TurnView
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent
from caxton.observability.logs import configure_logging
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import setup_tracing
from caxton.runtime.collector import spare_the_collector
from caxton.runtime.fast_path_ports import build_fast_path_ports
from caxton.runtime.footprint import few_heaps, give_back
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from caxton.turns.step import StepPorts

log = logging.getLogger(__name__)

HEADER = struct.Struct("<QI")
"""Number of a frame, and the length of its body in bytes."""

REQUESTS = TypeAdapter(list[TurnRequest])
ACCEPTED = TypeAdapter(list[Accepted])

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
class Answer:
    """What came of requests."""

    accepted: bytes | None = None
    """Of all of them, as JSON. None when the store failed, and the server had better find out itself."""
    told: dict[ExecutionId, list[Told]] = field(default_factory=dict[ExecutionId, list[Told]])
    """What listeners to a turn get to hear."""
    counted: list[Count] = field(default_factory=list[Count])
    """What the server's metrics are to count."""


class _Kept:
    """The DeltaStream port: keeps what is published for the process that has listeners."""

    poll = 1.0

    def __init__(self) -> None:
        self.told: dict[ExecutionId, list[Told]] = {}

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "reply":  # what came before it would come with it
            turn: TurnView = data["turn"]
            self.told[execution_id] = [(kind, {"turn": turn.model_dump_json()})]
        else:
            self.told.setdefault(execution_id, []).append((kind, data))

    def has_listeners(self, _execution_id: ExecutionId) -> bool:
        """Nobody listens here, and what is said here is said at once."""
        return False

    def expect(self, _execution_id: ExecutionId) -> None:
        """Nobody comes here."""

    def subscribe(
        self, execution_id: ExecutionId, on_event: Callable[[StreamEvent], None], *, only_end: bool = False
    ) -> Callable[[], None]:
        raise NotImplementedError("nobody listens here")


async def serve(connection: socket.socket) -> None:
    """Accepts requests until the other side closes `connection`."""
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        _, first = await read_frame(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # the server has ended before it could say what to do: two Ctrl-C, one soon after the other
    start: Start = pickle.loads(first)  # noqa: S301 - from our own parent, by a socket that nobody else has
    ports, counted, close = _build(start)
    spare_the_collector()
    give_back()
    tasks: set[asyncio.Task[None]] = set()

    def send(number: int, answer: Answer) -> None:
        answer.counted, counted[:] = list(counted), []
        writer.write(frame(number, pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)))

    async def answer(number: int, body: bytes) -> None:
        send(number, await _accept(ports, body))

    send(0, Answer())  # it is ready
    try:
        while True:
            number, body = await read_frame(reader)
            task = asyncio.create_task(answer(number, body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the server has ended
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)
        close()


def frame(number: int, body: bytes) -> bytes:
    """`body` as it is sent."""
    return HEADER.pack(number, len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame's number and its body.

    Raises:
        asyncio.IncompleteReadError: the other side has ended.
    """
    number, length = HEADER.unpack(await reader.readexactly(HEADER.size))
    return number, await reader.readexactly(length)


async def _accept(ports: StepPorts, requests: bytes) -> Answer:
    stream = _Kept()
    try:
        accepted = await accept(replace(ports, stream=stream), REQUESTS.validate_json(requests))
    except Exception as error:
        if not isinstance(error, CaxtonError):
            log.error("requests could not be accepted", extra={"error": type(error).__name__})
        return Answer()
    return Answer(ACCEPTED.dump_json(accepted, exclude_unset=True), stream.told)


def _build(start: Start) -> tuple[StepPorts, list[Count], Callable[[], None]]:
    settings = start.settings
    configure_logging(start.log_level, settings.log.format)
    telemetry = settings.telemetry
    stop_tracing = setup_tracing(telemetry.otlp_endpoint, telemetry.service_name, telemetry.sample_ratio, __version__)
    counted: list[Count] = []
    METRICS.hand_on(lambda name, given: counted.append((name, given)))
    ports, close_ports = build_fast_path_ports(settings)

    def close() -> None:
        close_ports()
        stop_tracing()

    return ports, counted, close


def main() -> None:
    """Runs the process."""
    import uvloop

    few_heaps()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=0)))
