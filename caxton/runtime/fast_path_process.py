"""The process that accepts requests (:mod:`caxton.runtime.fast_path_worker`) as its server sees it."""

import asyncio
import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from caxton.adapters.children import end_child, start_child
from caxton.domain.executions import Accepted, TurnRequest, TurnView
from caxton.observability.metrics import METRICS
from caxton.runtime.fast_path_worker import ACCEPTED, REQUESTS, Answer, Start, frame, read_frame
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from caxton.turns.step import StepPorts

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-c", "from caxton.runtime.fast_path_worker import main; main()"]
"""Not with `-m`: what it pickles must not be of a module "__main__"."""

PATIENCE = 5.0
"""Seconds for one batch; a process that takes longer is ended."""

START_PATIENCE = 60.0
"""Seconds that it may take to get ready; on a busy machine it loads for several."""

RESTART_AFTER = 1.0
"""Seconds between two starts at least."""

BUSY = 25
"""Requests within a second from which the process is worth what it weighs: below, the server itself is as quick."""

QUIET = 300.0
"""Seconds without such a second after which it ends."""


class Load:
    """Whether there is much to do."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._since = 0.0
        self._count = 0
        self._busy_at = float("-inf")

    def add(self, requests: int, now: float) -> bool:
        """Counts `requests` that came at `now`, in seconds. True when with them there are many in a second."""
        if now - self._since > 1.0:
            self._since, self._count = now, 0
        self._count += requests
        if self._count < BUSY:
            return False
        self._busy_at = now
        return True

    def quiet_for(self, now: float) -> float:
        """Seconds since there was much to do."""
        return now - self._busy_at


class FastPathProcess:
    """Starts it when there is much to do, hands it requests, and starts it again when it is gone.

    While it is not there the server does the work itself.
    """

    def __init__(self, settings: Settings, ports: StepPorts) -> None:
        """Prepare it; `ports` are those of the server, whose stream gets what the turns publish."""
        level = logging.getLevelName(logging.getLogger("caxton").getEffectiveLevel())
        self._start = Start(settings, str(level).lower())
        self._ports = replace(ports, accepts_only=True)
        self._stream = ports.stream
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._numbers = count(1)
        self._always = settings.server.fast_path == "always"
        self._wanted = asyncio.Event()
        if self._always:
            self._wanted.set()
        self._load = Load()

    @property
    def is_running(self) -> bool:
        """Whether the process takes requests."""
        return self._writer is not None

    async def run(self) -> None:
        """Keeps the process running while it is wanted, forever."""
        if self._always:
            await self._keep_running()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_running())
            group.create_task(self._end_when_quiet())

    async def _keep_running(self) -> None:
        while True:
            await self._wanted.wait()
            started = time.monotonic()
            try:
                await self._run_once()
            except OSError as error:
                log.warning("the fast-path worker cannot be started: %s", error)
            except Exception as error:  # it is a helper: whatever is wrong with it, the server goes on
                log.error("the fast-path worker is not understood", extra={"error": type(error).__name__})
                self._kill()
            await asyncio.sleep(max(0.0, started + RESTART_AFTER - time.monotonic()))

    async def accept(self, requests: Sequence[TurnRequest]) -> Sequence[Accepted]:
        """Accepts `requests`, there or, while it is not there, here.

        Raises:
            StoreUnavailable: the store does not answer.
            DiskFull: there is no room to write.
        """
        if self._load.add(len(requests), time.monotonic()):
            self._wanted.set()
        try:
            answer = await self._ask(requests)
        finally:
            if self._writer is not None:
                self._ports.records.log_changes.tell({request.scope.customer for request in requests})
        if answer is not None and answer.accepted is not None:
            METRICS.batch_accepted("worker")
            return ACCEPTED.validate_json(answer.accepted)
        # What it had in progress when it ended is found recorded, or was not done.
        METRICS.batch_accepted("here")
        return await accept(self._ports, requests)

    async def _ask(self, requests: Sequence[TurnRequest]) -> Answer | None:
        writer = self._writer
        if writer is None:
            return None
        number = next(self._numbers)
        done = self._waiting[number] = asyncio.get_running_loop().create_future()
        writer.write(frame(number, REQUESTS.dump_json(list(requests), exclude_defaults=True)))
        try:
            return await asyncio.wait_for(done, PATIENCE)
        except TimeoutError:
            log.warning("the fast-path worker did not answer for %g s and is ended; the server does its work", PATIENCE)
            self._kill()
            return None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the process after what it has in progress."""
        process, self._process = self._process, None
        self._gone()
        if process is not None:
            end_child(process, 5)

    async def _run_once(self) -> None:
        process, connection = start_child(COMMAND)
        self._process = process
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            writer.write(frame(0, pickle.dumps(self._start)))
            await asyncio.wait_for(read_frame(reader), START_PATIENCE)
            self._writer = writer  # it has said that it is ready
            while True:
                number, body = await read_frame(reader)
                answer: Answer = pickle.loads(body)  # noqa: S301 - from our own child
                self._tell(answer)
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except TimeoutError:
            log.warning("the fast-path worker does not get ready and is started again; no work is lost")
            self._kill()
        except (asyncio.IncompleteReadError, ConnectionError):
            if self._wanted.is_set():
                log.warning("the fast-path worker ended and is started again; no work is lost")
        finally:
            self._gone()
            writer.close()
            process.poll()
        # Its socket is closed, so it ends: before another one is started in its place.
        await asyncio.to_thread(end_child, process, 5)

    async def _end_when_quiet(self) -> None:
        while True:
            await asyncio.sleep(QUIET / 10)
            if self._writer is not None and not self._waiting and self._load.quiet_for(time.monotonic()) > QUIET:
                self._wanted.clear()
                self._gone()  # the process ends with its input

    def _tell(self, answer: Answer) -> None:
        for name, given in answer.counted:
            getattr(METRICS, name)(*given)
        for execution_id, told in answer.told.items():
            for kind, data in told:
                turn = data.get("turn")
                found = data if turn is None else {"turn": TurnView.model_validate_json(turn)}
                self._stream.publish(execution_id, kind, found)

    def _gone(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
