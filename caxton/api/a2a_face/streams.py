"""A task as it happens, as the events that the A2A protocol has for it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from caxton.api.a2a_face.errors import UnsupportedOperation
from caxton.api.a2a_face.tasks import (
    REPLY,
    Asking,
    Json,
    artifact,
    artifacts_of,
    task_found,
    task_json,
    update_json,
)
from caxton.domain.governance import ApprovalState
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent
from caxton.service.listening import Seen
from caxton.service.tasks import Task
from caxton.views.a2a import EXTENSION, TaskState, status_update, timestamp

KEEP_ALIVE: Final = 15.0
"""Seconds between signs of life in a silent stream, so that proxies keep it open."""


@dataclass(frozen=True, slots=True)
class Update:
    """One event, as the result of a streaming operation has it."""

    result: Json
    position: str = ""
    """To go on behind it."""
    final: bool = False
    """Whether the task is over with it, or waits for a person."""


async def subscribe(asking: Asking, task_id: str, last: str | None) -> AsyncGenerator[Update | None]:
    """`SubscribeToTask`: the task as it stands, and what happens to it from there, or from behind the event `last`.

    Raises:
        TaskNotFound: there is no such task.
        UnsupportedOperation: it is over, and the client does not know where it was.
    """
    task = await task_found(asking, task_id)
    if task.has_ended and not last:
        raise UnsupportedOperation(
            f'task "{task.id}" is over: {task.state}',
            "get it to see its result; its events are replayed behind a Last-Event-ID",
            details={"taskId": task.id, "state": str(task.state)},
        )
    return updates(asking, task, last, until_asked=False)


async def updates(
    asking: Asking, task: Task, last: str | None, *, until_asked: bool, history: int | None = None
) -> AsyncGenerator[Update | None]:
    """A task as it happens. None shows that it goes on.

    Args:
        asking: who listens.
        task: as it stands.
        last: position of the last event that the client has.
        until_asked: whether the stream ends where the task waits for a person.
        history: how many messages of the task's history are wanted.
    """
    yield Update({"task": await task_json(asking, task, history)})
    writer = _Writer(asking, task)
    if last:
        await writer.skip_to(last)
    watched = asking.services.listening.watch(asking.caller.scope, task.id, last, silence=KEEP_ALIVE)
    async with aclosing(watched) as events:
        async for event in events:
            if event is None:
                yield None
                continue
            for update in await writer.write(event):
                yield update
                if update.final and (until_asked or writer.ended):
                    return


class _Writer:
    """Writes what happens to a task."""

    def __init__(self, asking: Asking, task: Task) -> None:
        self._asking, self._task = asking, task
        self._said = ""
        """Of the reply, what the client has."""
        self._anew = True
        """Whether the next text is the beginning of a reply: the client throws away what it has."""
        self._number = 0
        self.ended = False

    async def skip_to(self, last: str) -> None:
        """Goes on with the number behind an event that the client has."""
        listening, scope, identity = self._asking.services.listening, self._asking.caller.scope, self._task.id
        seen = await listening.records.read(
            lambda transaction: listening.look(transaction, scope, ExecutionId(identity), Seen())
        )
        ids = [entry.id for entry in seen.entries]
        step = last.partition("+")[0]
        self._number = ids.index(step) + 1 if step in ids else 0
        # Of a text in the middle of which the client was, it is told the rest; at the end all of it, if need be.
        self._anew = "+" not in last

    async def write(self, event: StreamEvent) -> list[Update]:
        """The events that the client is told of one."""
        if event.kind == "delta":
            return [self._chunk(event)]
        if event.kind == "reset":
            self._anew = True
            return []
        if event.kind == "step":
            self._number += 1
            return await self._step(event)
        if event.kind in ("reply", "error"):
            return await self._end(event)
        return []

    def _chunk(self, event: StreamEvent) -> Update:
        text = str(event.data["text"])
        append, self._anew = not self._anew, False
        self._said = self._said + text if append else text
        return self._artifact(artifact(REPLY, "reply", [{"text": text}]), event, append=append)

    def _artifact(self, made: Json, event: StreamEvent, *, append: bool = False, last: bool = False) -> Update:
        told: Json = {"taskId": self._task.id, "contextId": self._task.conversation_id, "artifact": made}
        told |= {name: True for name, value in (("append", append), ("lastChunk", last)) if value}
        return self._update({"artifactUpdate": told}, event)

    async def _step(self, event: StreamEvent) -> list[Update]:
        data = event.data
        if data.get("kind") == "model" and data.get("calls"):
            self._anew = True  # what was said before the calls is no part of the reply
        if data.get("kind") == "approval" and data.get("state") == ApprovalState.PENDING:
            self._task = await task_found(self._asking, self._task.id)
            if self._task.state is TaskState.INPUT_REQUIRED:
                return [self._update(update_json(self._asking, self._task), event, final=True)]
            return []
        text = _told(data)
        if text is None:
            return []
        status: Json = {"state": str(TaskState.WORKING), "timestamp": timestamp(event.at or self._task.since)}
        status["message"] = {
            "messageId": event.id,
            "contextId": self._task.conversation_id,
            "taskId": self._task.id,
            "role": "ROLE_AGENT",
            "parts": [{"text": text}],
        }
        return [self._update(status_update(self._task.id, self._task.conversation_id, status), event)]

    async def _end(self, event: StreamEvent) -> list[Update]:
        self.ended = True
        task = self._task = await task_found(self._asking, self._task.id)
        made = await artifacts_of(self._asking, task) if task.state is TaskState.COMPLETED else []
        results = [self._result(each, event) for each in made]
        return [*results, self._update(update_json(self._asking, task), event, final=True)]

    def _result(self, made: Json, event: StreamEvent) -> Update:
        """A whole result, or of the reply what the client does not have."""
        part: Json = made["parts"][0]
        text: str = part.get("text", "") if made["artifactId"] == REPLY else ""
        if self._said and not self._anew and text.startswith(self._said):
            rest: Json = {**part, "text": text[len(self._said) :]}
            return self._artifact({**made, "parts": [rest]}, event, append=True, last=True)
        return self._artifact(made, event, last=True)

    def _update(self, result: Json, event: StreamEvent, *, final: bool = False) -> Update:
        if self._asking.extended:
            [told] = result.values()
            known: Json = told.get("metadata", {}).get(EXTENSION, {})
            place: Json = {"sequence": self._number, "position": event.id}
            if event.kind == "step":
                place["step"] = event.data
            told["metadata"] = {EXTENSION: {**known, **place}}
        return Update(result, event.id, final)


def _told(data: Mapping[str, Any]) -> str | None:
    """What people read of a step; None where it says nothing to them."""
    agent, kind = data.get("agent"), data.get("kind")
    failed = "" if data.get("ok", True) else f", and failed ({data.get('error_code') or 'error'})"
    if kind == "open":
        return f"{agent} begins" + (f" {data['capability']}" if data.get("capability") else "")
    if kind == "tool":
        return f"{agent} has called {data.get('tool')}.{data.get('function')}{failed}"
    if kind == "handover":
        return f"{data.get('to')} has answered {agent}{failed}"
    if kind == "attempt":
        return f"{agent} asks its model again{failed}"
    if kind == "approval":
        return f"a person has decided: {str(data.get('state')).lower()}"
    if kind == "model" and data.get("calls"):
        return f"{agent} calls {', '.join(data['calls'][:10])}"
    return None
