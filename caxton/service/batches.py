"""What waits to be sent on, and how much of it goes together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from caxton.domain.errors import CaxtonError, EngineUnavailable
from caxton.domain.executions import TurnOutcome, TurnRequest, TurnView
from caxton.domain.fair_queue import FairQueue
from caxton.domain.json_text import compact_encoder

BATCH_REQUESTS = 100
"""Requests in one batch at the most."""

BATCH_BYTES = 1 << 20
"""Bytes of content and variables in one batch at the most, or those of one request more (Temporal: 2 MB a payload)."""


@dataclass
class Waiting:
    """A request that somebody waits for."""

    request: TurnRequest
    done: asyncio.Future[TurnOutcome | TurnView]
    is_new: bool
    """Whether nobody else can send the same request."""

    @property
    def size(self) -> int:
        """Bytes of what it brings, near enough."""
        variables = self.request.variables
        return self.request.content.size + (len(_to_json(variables)) if variables else 0)


_to_json = compact_encoder()


def take_batch(queues: Sequence[FairQueue[Waiting]]) -> list[Waiting]:
    """Takes what goes together, from each of `queues` in turn, so that neither waits for the other."""
    batch: list[Waiting] = []
    size = 0
    while (filled := [queue for queue in queues if queue]) and len(batch) < BATCH_REQUESTS and size < BATCH_BYTES:
        waiting = filled[len(batch) % len(filled)].take()
        if waiting.done.cancelled():
            continue
        size += waiting.size
        batch.append(waiting)
    return batch


def fail(batch: Sequence[Waiting], error: CaxtonError) -> None:
    """Answers what is not answered yet with `error`."""
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)


def unsent(error: BaseException) -> CaxtonError:
    """What a request is told that `error` kept from being sent."""
    return EngineUnavailable(
        "the request could not be handed to the workflow engine", reason=type(error).__name__, retry_after=1.0
    )
