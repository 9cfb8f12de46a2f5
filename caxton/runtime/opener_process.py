"""The process that opens turns (:mod:`caxton.runtime.opener`) as its worker sees it."""

import asyncio
import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from caxton.activities.batch import end_turns
from caxton.activities.step import StepPorts
from caxton.adapters.children import end_child, start_child
from caxton.domain.errors import StoreUnavailable
from caxton.domain.executions import StepInput, TurnOutcome, TurnRequest, TurnView, opening_of
from caxton.observability.metrics import METRICS
from caxton.runtime.opener import OUTCOMES, Opened, Start, Wanted, frame, read_frame
from caxton.runtime.payloads import data_converter
from caxton.runtime.settings import Settings

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-c", "from caxton.runtime.opener import main; main()"]
"""Not with `-m`: what it pickles must not be of a module "__main__"."""

PATIENCE = 5.0
"""Seconds for one batch; a process that takes longer is ended."""

START_PATIENCE = 60.0
"""Seconds that it may take to get ready; on a busy machine it loads for several."""

EXPECTED_FOR = 1.0
"""Seconds after a batch within which the next is expected to be opened here, and not by another worker."""

RESTART_AFTER = 1.0
"""Seconds between two starts at least."""


class OpenerProcess:
    """Starts it, hands it steps, and starts it again when it is gone. Meanwhile the worker does the work itself."""

    def __init__(self, settings: Settings, ports: StepPorts) -> None:
        """Prepare it; `ports` are those of the worker, whose stream gets what the turns publish."""
        level = logging.getLevelName(logging.getLogger("caxton").getEffectiveLevel())
        self._start = Start(settings, str(level).lower())
        self._ports = replace(ports, only_opens=True)
        self._stream = ports.stream
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Opened | None]] = {}
        self._numbers = count(1)
        self._to_json = data_converter.payload_converter.to_payload
        self._opened = -EXPECTED_FOR
        """When it was last asked to open turns."""

    async def run(self) -> None:
        """Keeps the process running, for ever."""
        while True:
            started = time.monotonic()
            try:
                await self._run_once()
            except OSError as error:
                log.warning("the process that opens turns cannot be started: %s", error)
            except Exception as error:  # it is a helper: whatever is wrong with it, the server goes on
                log.error("the process that opens turns is not understood", extra={"error": type(error).__name__})
                self._kill()
            await asyncio.sleep(max(0.0, started + RESTART_AFTER - time.monotonic()))

    def expect(self, requests: Sequence[TurnRequest]) -> None:
        """Has it prepare what `requests`, which are on their way to their inbox, are going to need."""
        if self._writer is None or time.monotonic() - self._opened > EXPECTED_FOR:
            return
        self._writer.write(frame(Wanted.PREPARE, 0, self._steps(requests)))

    async def open_turns(self, steps: bytes) -> bytes | None:
        """Does `steps`, as JSON: their results as JSON, or None when the caller has to do them itself."""
        self._opened = time.monotonic()
        opened = await self._ask(Wanted.OPEN, steps)
        if opened is None or opened.results is None:
            METRICS.batch_opened("here")
            return None
        METRICS.batch_opened("prepared" if opened.was_prepared else "asked")
        return opened.results

    async def end_turns(self, requests: Sequence[TurnRequest]) -> Sequence[TurnOutcome | None]:
        """Does those of `requests` that end in one transaction: how they ended, and None for the others.

        Raises:
            StoreUnavailable: the store does not answer, or the process does not.
            DiskFull: there is no room to write.
        """
        opened = None if self._writer is None else await self._ask(Wanted.END, self._steps(requests))
        if opened is not None and opened.results is not None:
            outcomes = OUTCOMES.validate_json(opened.results)
        elif self._writer is None:
            # It is starting. What it had in hand when it ended is found recorded, or was not done.
            outcomes = await end_turns(self._ports, _openings(requests))
        else:
            raise StoreUnavailable("the process that opens turns could do nothing")
        if any(outcomes):
            METRICS.batch_opened("here" if opened is None else "at_once")
        return outcomes

    def _steps(self, requests: Sequence[TurnRequest]) -> bytes:
        return self._to_json(_openings(requests)).data

    async def _ask(self, wanted: Wanted, steps: bytes) -> Opened | None:
        writer = self._writer
        if writer is None:
            return None
        number = next(self._numbers)
        done = self._waiting[number] = asyncio.get_running_loop().create_future()
        writer.write(frame(wanted, number, steps))
        try:
            return await asyncio.wait_for(done, PATIENCE)
        except TimeoutError:
            log.warning(
                "the process that opens turns did not answer for %g s and is ended; the worker does its work", PATIENCE
            )
            self._kill()
            return None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the process after what it has in hand."""
        process, self._process = self._process, None
        self._gone()
        if process is not None:
            end_child(process, 5)

    async def _run_once(self) -> None:
        process, connection = start_child(COMMAND)
        self._process = process
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            writer.write(frame(Wanted.START, 0, pickle.dumps(self._start)))
            await asyncio.wait_for(read_frame(reader), START_PATIENCE)
            self._writer = writer  # it has said that it is ready
            while True:
                _, number, body = await read_frame(reader)
                opened: Opened = pickle.loads(body)  # noqa: S301 - from our own child
                self._tell(opened)
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(opened)
        except TimeoutError:
            log.warning("the process that opens turns does not get ready and is started again; no work is lost")
            self._kill()
        except (asyncio.IncompleteReadError, ConnectionError):
            log.warning("the process that opens turns ended and is started again; no work is lost")
        finally:
            self._gone()
            writer.close()
            process.poll()

    def _tell(self, opened: Opened) -> None:
        for name, given in opened.counted:
            getattr(METRICS, name)(*given)
        for execution_id, told in opened.told.items():
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


def _openings(requests: Sequence[TurnRequest]) -> list[StepInput]:
    """What opens `requests`, as their inbox asks for it (:mod:`caxton.workflows.inbox`): else it is prepared in vain."""
    return [opening_of(request, yields=True) for request in requests]
