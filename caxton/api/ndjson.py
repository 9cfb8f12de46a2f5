"""Many requests in one body, one JSON object per line, and as many answers, a line each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, ValidationError

from caxton.domain.errors import CaxtonError, InvalidInput
from caxton.domain.executions import TurnView
from caxton.domain.json_text import json_line
from caxton.domain.strict_json import check_json
from caxton.domain.validation_words import first_problem

NDJSON = "application/x-ndjson"


class Lines(StreamingResponse):
    """A response of JSON objects, a line each."""

    media_type = NDJSON


CONCURRENCY = 50
"""Lines of one batch that are asked at the same time: a batch is no way round the limits for requests."""


class Line(BaseModel):
    """What every line may say besides what it asks."""

    id: str | None = Field(default=None, max_length=200, description="Comes back with the answer.")


LONG_LINE = 8 << 10
"""Bytes of a line that takes long to read: others have their turn before each of them."""

LineT = TypeVar("LineT", bound=Line)


async def answer_lines(
    lines: Sequence[bytes],
    model: type[LineT],
    ask: Callable[[LineT], Awaitable[TurnView]],
    pace: Callable[[], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """The answers to `lines`, each as soon as it is there: with the number of its line, and its id if it has one.

    Args:
        lines: the requests, as they came.
        model: what each line has to be.
        ask: answers one.
        pace: waits until one more may begin; the first one may at once.
    """
    places, turn, reading = asyncio.Semaphore(CONCURRENCY), asyncio.Lock(), asyncio.Lock()

    async def one(number: int, line: bytes) -> bytes:
        async with places:
            if number > 1:
                async with turn:
                    await pace()
            if len(line) > LONG_LINE:
                async with reading:
                    await asyncio.sleep(0)
            return await _answer(number, line, model, ask)

    tasks = [asyncio.create_task(one(number, line)) for number, line in enumerate(lines, start=1)]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _answer(number: int, line: bytes, model: type[LineT], ask: Callable[[LineT], Awaitable[TurnView]]) -> bytes:
    head: dict[str, object] = {"line": number}
    try:
        try:
            check_json(line, "the line")
            body = model.model_validate_json(line)
        except ValidationError as error:
            raise InvalidInput(first_problem(error)[1][:500], details={"line": number}) from None
        if body.id is not None:
            head["id"] = body.id
        view = await ask(body)
    except CaxtonError as error:
        told = {**head, "status": error.status, "error": error.report().model_dump(mode="json", exclude_none=True)}
    else:
        status = 202 if view.state == "running" else 200
        told = {**head, "status": status, "turn": view.model_dump(mode="json")}
    return json_line(told).encode() + b"\n"
