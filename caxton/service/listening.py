"""Listening to a turn: its steps, the text as it is made, and at the end the reply or the error.

Nobody looks again and again. What a turn has done is read once for all who listen to it here, and again when something has been
recorded; text comes straight from the stream.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from caxton.domain.errors import ErrorReport
from caxton.domain.executions import Execution, ExecutionState, TurnView
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.ports import DeltaStream, StreamEvent
from caxton.domain.records import ExecutionRecord, Records, StepRecord, Transaction
from caxton.service.shared_look import SharedLook
from caxton.service.timeline import Entry, timeline
from caxton.service.turns import read_turn

LONGEST_OFFSET = 16
"""Digits of a position in a text, as a listener gives it back."""

MOST_WAITING = 10_000
"""Events that wait for one listener. One that does not keep up loses text, never a step or the reply."""


@dataclass(frozen=True)
class Seen:
    """A turn as it was read."""

    root: Execution | None = None
    """None before it began."""
    entries: list[Entry] = field(default_factory=list[Entry])
    steps: dict[ExecutionId, list[StepRecord]] = field(default_factory=dict[ExecutionId, list[StepRecord]])
    """Steps so far, of their contents no more than people see."""
    ended: frozenset[ExecutionId] = frozenset()
    """Executions of which no further step comes."""

    @property
    def has_ended(self) -> bool:
        """Whether the whole turn is over."""
        return self.root is not None and self.root.state is not ExecutionState.RUNNING


class Listening:
    """Use cases of those who follow a turn as it happens."""

    def __init__(self, records: Records, stream: DeltaStream) -> None:
        """Read steps and ends from `records`, and hear text from `stream`."""
        self.records = records
        self.stream = stream
        self._followed: dict[tuple[Scope, ExecutionId], _Followed] = {}

    async def watch(
        self,
        scope: Scope,
        execution_id: ExecutionId,
        last_event_id: str | None,
        *,
        silence: float | None = None,
    ) -> AsyncGenerator[StreamEvent | None]:
        """A turn as it happens: its steps, the text as it is made, and at the end the reply or the error.

        A "retry" says that something failed and is tried again, and after how many seconds. Text that turns out to be said in
        vain, for the model call failed and is made again, is taken back by a "reset".

        Args:
            scope: whose turn.
            execution_id: the turn's root execution, or one that was handed over in it; one that is known to exist.
            last_event_id: the last event that the listener has, to go on behind it.
            silence: seconds after which None comes when nothing has happened.
        """
        key = (scope, execution_id)
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = _Followed(self, scope, execution_id)
        followed.listeners += 1
        inbox = _Inbox(followed)
        unsubscribe = self.stream.subscribe(execution_id, inbox.hear)
        progress, last = _Progress(last_event_id), time.monotonic()
        try:
            while True:
                while inbox.events:
                    for event in await progress.take(inbox.events.popleft(), followed):
                        last = time.monotonic()
                        yield event
                        if event.kind in ("reply", "error"):
                            return
                if await inbox.wait(self.stream.poll):
                    continue
                if silence and time.monotonic() - last >= silence:
                    last = time.monotonic()
                    yield None
        finally:
            unsubscribe()
            followed.listeners -= 1
            if not followed.listeners and self._followed.get(key) is followed:
                del self._followed[key]

    def look(self, transaction: Transaction, scope: Scope, execution_id: ExecutionId, before: Seen) -> Seen:
        """The turn as it stands now. Of what was seen `before`, nothing is read again."""
        executions = transaction.executions_of_turn(scope, execution_id)
        if not executions:  # not a turn's root: an agent's part in one
            executions = _part(transaction, scope, execution_id)
        if not executions:
            return before
        found: dict[ExecutionId, list[StepRecord]] = {}
        for record in executions:
            identity = record.execution.id
            known = before.steps.get(identity, [])
            if identity not in before.ended:
                # Calls side by side are recorded in any order, but all before the next model call.
                first = max((step.step for step in known), default=0)
                fresh = transaction.steps_from(scope, identity, first)
                known = [*(step for step in known if step.step < first), *map(_shown, fresh)]
            found[identity] = known
        approvals = transaction.approvals_of(scope, list(found))
        ended = [each.execution.id for each in executions if each.execution.state is not ExecutionState.RUNNING]
        return Seen(executions[0].execution, timeline(executions, found, approvals), found, frozenset(ended))


class _Followed:
    """A turn that somebody here listens to: read once for all of them."""

    def __init__(self, listening: Listening, scope: Scope, execution_id: ExecutionId) -> None:
        self.listening, self.scope, self.execution_id = listening, scope, execution_id
        self.listeners = 0
        self.look = SharedLook(self._look)
        self._seen = Seen()
        self._end: StreamEvent | None = None

    async def seen(self, changes: int) -> Seen:
        """The turn with at least so many changes."""
        await self.look.seen(changes)
        return self._seen

    async def _look(self) -> None:
        before, listening = self._seen, self.listening

        def read(transaction: Transaction) -> tuple[Seen, TurnView | None]:
            seen = listening.look(transaction, self.scope, self.execution_id, before)
            return seen, read_turn(transaction, self.scope, self.execution_id) if seen.has_ended else None

        self._seen, ended = await listening.records.read(read)
        if ended is not None:
            self._end = _end(ended)

    @property
    def end(self) -> StreamEvent | None:
        """The last event, once the turn is over."""
        return self._end


def _part(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> list[ExecutionRecord]:
    """An execution that was handed over, and those that it handed over in turn."""
    found = transaction.executions(scope, [execution_id]).get(execution_id)
    if found is None:
        return []
    part, inside = [found], {execution_id}
    for record in transaction.executions_of_turn(scope, found.execution.root_id):  # those above come first
        if record.execution.parent_id in inside:
            inside.add(record.execution.id)
            part.append(record)
    return part


@dataclass(frozen=True)
class _Change:
    """Something was recorded: so many changes are known with it."""

    changes: int


class _Inbox:
    """What waits for one listener, in the order in which it happened."""

    def __init__(self, followed: _Followed) -> None:
        self.followed = followed
        self.events: deque[StreamEvent | _Change] = deque([_Change(1)])
        self._news = asyncio.Event()

    def hear(self, event: StreamEvent) -> None:
        if event.kind in ("delta", "reset", "retry"):
            if len(self.events) < MOST_WAITING:
                self.events.append(event)
        else:
            # All listeners hear of a change before any of them looks: it is one look for all.
            self._change()
        self._news.set()

    def _change(self) -> None:
        self.events.append(_Change(self.followed.look.changed()))

    async def wait(self, seconds: float) -> bool:
        """Waits until something has happened; after so many seconds it is better to look than to trust in that."""
        if not self.events:
            self._news.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                self._change()
                return False
        return True


class _Progress:
    """What a listener has seen.

    Event ids are `<last step>`, or `<last step>+<characters of text since>.<id of that text>`. Every call of a model says a text
    of its own, so whoever comes back in the middle of one that no longer counts is told so before anything else.
    """

    def __init__(self, last_event_id: str | None) -> None:
        self.step, _, position = (last_event_id or "").partition("+")
        offset, _, self.text_id = position.partition(".")
        self.offset = _number(offset, 0)
        self.resuming = bool(self.step)
        self._known: set[str] = set()
        """Steps that the listener has."""

    async def take(self, event: StreamEvent | _Change, followed: _Followed) -> list[StreamEvent]:
        """What the listener is told of an event."""
        if isinstance(event, _Change):
            seen = await followed.seen(event.changes)
            told = self._new_steps(seen.entries)
            return told if followed.end is None else [*told, followed.end]
        if event.kind == "reset":
            return self._reset(event.data)
        if event.kind == "retry":
            return [StreamEvent(self.step, "retry", event.data)]
        told = self._reset(event.data) if self.offset and self.text_id != _text_id(event.data) else []
        self.text_id = _text_id(event.data)
        return [*told, *self._new_text(event)]

    def _new_steps(self, entries: list[Entry]) -> list[StreamEvent]:
        if self.resuming:
            ids = [entry.id for entry in entries]
            if self.step not in ids:
                return []
            self.resuming = False
            self._known.update(ids[: ids.index(self.step) + 1])
        fresh = [entry for entry in entries if entry.id not in self._known]
        if not fresh:
            return []
        ended = _end_of_a_text(fresh)
        told: list[StreamEvent] = []
        if self.offset and ended is not None and self.text_id != _text_id(ended.data):
            told = self._reset(_what_began(ended, entries))
        self._known.update(entry.id for entry in fresh)
        self.step, self.offset = fresh[-1].id, 0
        return [*told, *(StreamEvent(entry.id, "step", entry.data, entry.at) for entry in fresh)]

    def _reset(self, data: Mapping[str, Any]) -> list[StreamEvent]:
        self.offset = 0
        told = {name: value for name, value in data.items() if name not in ("text", "text_id")}
        return [StreamEvent(self.step, "reset", told)]

    def _new_text(self, event: StreamEvent) -> list[StreamEvent]:
        end, text = int(event.id or 0), str(event.data["text"])
        fresh = text[max(0, self.offset - (end - len(text))) :]
        if not fresh:
            return []
        self.offset = end
        return [StreamEvent(f"{self.step}+{end}.{self.text_id}", "delta", {**event.data, "text": fresh})]


def _end_of_a_text(fresh: list[Entry]) -> Entry | None:
    """With which step the text ends that came before these: the call that gave it, or in the end brought nothing."""
    ends = [entry for entry in fresh if entry.data["kind"] in ("model", "attempt")]
    return next((entry for entry in reversed(ends) if _call_of(entry) == _call_of(ends[0])), None)


def _text_id(data: Mapping[str, Any]) -> str:
    """The text that a delta is a piece of, or that a step has become of; empty for none."""
    return str(data.get("text_id", ""))


def _what_began(entry: Entry, entries: list[Entry]) -> dict[str, Any]:
    """The call of a model that took the place of one whose text a listener has the beginning of."""
    call = _call_of(entry)
    failed = [each for each in entries if each.data["kind"] == "attempt" and _call_of(each) == call]
    return {"agent": entry.data["agent"], "step": int(call.rpartition(".")[2]), "attempt": 1 + len(failed)}


def _call_of(entry: Entry) -> str:
    """Execution and step of an entry: what several attempts at the same call have in common."""
    return entry.id.rpartition(".")[0]


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < LONGEST_OFFSET else default


def _shown(step: StepRecord) -> StepRecord:
    """A step with what people see of it: results of tools may be large, and turns long."""
    payload = step.payload
    calls = [{"name": call["name"]} for call in payload.get("calls", [])]
    metadata = {"scripted": bool(payload.get("metadata", {}).get("scripted"))}
    text = {"text_id": payload["text_id"]} if "text_id" in payload else {}
    return replace(step, payload={"model": payload.get("model"), "metadata": metadata, "calls": calls, **text})


def _end(view: TurnView) -> StreamEvent:
    if view.state == "failed":
        error = view.error or ErrorReport(code="execution_failed", message="the turn failed")
        data = error.model_dump(mode="json", exclude_none=True)
        return StreamEvent("end", "error", {**data, "turn": view.model_dump(mode="json", exclude_none=True)})
    return StreamEvent("end", "reply", view.model_dump(mode="json", exclude_none=True))
