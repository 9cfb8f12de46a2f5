"""The stream of a run: its events as frames, each with the id by which a client comes back behind it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from caxton.api.agui.events import VERSION, Event, Run, run_error
from caxton.api.agui.speech import LOST, Speech
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE
from caxton.domain.errors import ErrorReport
from caxton.domain.ids import Scope
from caxton.domain.json_text import json_line
from caxton.domain.ports import StreamEvent
from caxton.service.listening import Seen

KEEP_ALIVE: Final = 15.0
"""Seconds between signs of life in a silent stream, so that proxies keep it open."""

BEGIN: Final = "begin"
"""The event of a turn's stream that stands before its first one."""

END: Final = "end"
"""Its last one."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Where a run begins that resumes a turn."""

    event: str
    """The step of the last approval that was answered."""
    moment: datetime
    """When it was asked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a client has of a run. As the id of an event: `<event>~<more>~<message>~<sent>`."""

    event: str = ""
    """The last event of the turn's stream that has been told whole; BEGIN before the first one."""
    more: int = 0
    """Events of AG-UI that the client has of the next one."""
    message: str = ""
    """The message that is open."""
    sent: int = 0
    """Characters of it; LOST if some in between are missing."""

    @classmethod
    def read(cls, text: str) -> "Place":
        """The place that an event's id names; the beginning for one that is none."""
        event, more, message, sent = (*text.split("~"), "", "", "")[:4]
        return cls(event, _number(more, 0), message, _number(sent, LOST))

    @classmethod
    def after(cls, event: str, more: int, speech: Speech | None) -> "Place":
        """The place behind an event, with what is open there."""
        return cls(event, more, speech.id, speech.sent) if speech else cls(event, more)

    def __str__(self) -> str:
        return f"{self.event}~{self.more}~{self.message}~{self.sent}"


class Telling:
    """Tells one run to one client."""

    def __init__(self, services: Services, scope: Scope, run: Run, place: Place, behind: Behind | None) -> None:
        """Tell `run` from `place` on; a run that resumes a turn begins `behind` a step of it."""
        self._services = services
        self._scope = scope
        self._run = run
        self._place = place
        self._behind = behind

    async def frames(self, state: object) -> AsyncIterator[str]:
        """The run as frames of server-sent events; `state` is what the client has."""
        if self._place.event == END:
            return  # the client has all of it
        if self._place.event and not await self._catch_up():
            self._place = Place()
        for frame in await (self._resume() if self._place.event else self._begin(state)):
            yield frame
        if self._run.ended:
            return
        since = None if self._place.event in ("", BEGIN) else self._place.event
        watched = self._services.listening.watch(self._scope, self._run.turn.execution_id, since, silence=KEEP_ALIVE)
        async with aclosing(watched) as stream:
            async for event in stream:
                if event is None:
                    yield STILL_HERE
                    continue
                for frame in await self._tell(event):
                    yield frame
                if self._run.ended:
                    return

    async def _begin(self, state: object) -> list[str]:
        start, skipped = self._behind.event if self._behind else BEGIN, self._place.more
        self._place = Place(start)
        await self._catch_up()
        begun = self._run.begin(state)
        frames = [
            _frame(event, Place("", number) if number < len(begun) else self._place)
            for number, event in enumerate(begun, start=1)
        ][skipped:]
        if self._behind is not None:  # some were not answered, or take another vote
            frames += [_frame(event, self._place) for event in await self._run.interrupted(self._behind.moment)]
        return frames

    async def _resume(self) -> list[str]:
        """What a client is told at once that comes back: again that the turn waits, if that was the last that it heard."""
        if not _asks(self._place.event) or (self._behind and self._behind.event == self._place.event):
            return []
        return [_frame(event, self._place) for event in await self._run.interrupted()]

    async def _tell(self, event: StreamEvent) -> list[str]:
        run, place = self._run, self._place
        before = Place.after(place.event, 0, run.speech)
        told = await run.tell(event)
        if told or event.kind == "step":
            self._place = Place(event.id)
        frames: list[str] = []
        for number, each in enumerate(told, start=1):
            if number == len(told):
                here = Place.after(event.id, 0, run.speech)
            elif event.kind == "delta":  # text may come in other pieces when it comes again
                started = Speech(each["messageId"]) if each["type"] == "TEXT_MESSAGE_START" else None
                here = Place.after(place.event, 0, started)
            else:
                here = replace(before, more=number)
            frames.append(_frame(each, here))
        return frames[place.more :]

    async def _catch_up(self) -> bool:
        """Brings the run to where the client is. False if there is no such place in it."""
        place = self._place
        if (at := place.event.partition("+")[0]) not in ("", BEGIN):
            seen = await self._services.turns.records.read(
                lambda transaction: self._services.listening.look(
                    transaction, self._scope, self._run.turn.execution_id, Seen()
                )
            )
            if at not in [entry.id for entry in seen.entries]:
                return False
            for entry in seen.entries:
                self._run.know(StreamEvent(entry.id, "step", entry.data))
                if entry.id == at:
                    break
        if place.message:
            self._run.speech = Speech(place.message, place.sent)
        return True


async def refusal(thread: str, run: str, error: ErrorReport) -> AsyncIterator[str]:
    """The frames of a run that ends as it begins."""
    started = {"type": "RUN_STARTED", "threadId": thread, "runId": run, "protocolVersion": VERSION}
    for event in (started, run_error(error)):
        yield f"data: {json_line(event)}\n\n"


def _asks(step: str) -> bool:
    """Whether a step is that of an approval which is asked for."""
    return ".approval." in step and not step.endswith(".decided")


def _frame(event: Event, place: Place) -> str:
    return f"id: {place}\ndata: {json_line(event)}\n\n"


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else default
