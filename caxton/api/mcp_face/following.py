"""Following a turn for a client: its steps as progress, its approvals as questions, its end as the result."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from caxton.api.mcp_face import approving, calling
from caxton.api.mcp_face.errors import INTERNAL_ERROR, told
from caxton.api.mcp_face.log_messages import level_of, log_message
from caxton.api.mcp_face.results import error_result, not_yet, result_of, with_conversation
from caxton.api.mcp_face.tasks import as_new_task
from caxton.api.mcp_face.wire import RELATED_TASK, Call, answer, finished, notification
from caxton.api.openai_face.asking import all_pending, pending
from caxton.api.services import Services
from caxton.domain.executions import TurnView
from caxton.domain.governance import Approval, ApprovalState
from caxton.service.context import Caller

LONGEST_WAIT: Final = 600.0
"""Seconds that a request waits for its result."""

SILENCE: Final = 15.0
"""Seconds between signs of life in a silent stream, so that proxies keep it open."""

ASKING: Final = 5.0
"""The same where the client's user may be asked: as long it takes at most until it is noticed that they put it aside."""

TASK_AFTER: Final = 2.0
"""Seconds after which a client that takes tasks unasked gets one."""

STATE_LASTS: Final = 24 * 3600.0
"""Seconds for which a question may be answered."""

MOST_QUESTIONS: Final = 20
"""Approvals of one turn that are asked at once; the others follow."""

STATE: Final = "mcp state"
QUESTION: Final = "mcp question"
"""What seals are for: of `requestState`, and of the id of a question."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Followed:
    """A turn that a client waits for."""

    caller: Caller
    services: Services
    call: Call
    turn: TurnView
    task: str | None = None
    """The task that it is, for who waits for the result of one."""
    began: bool = False
    """Whether the client has to be told of its conversation."""
    dismissed: bool = False
    """Whether the client's user has just put a question aside."""

    @property
    def gives_task(self) -> bool:
        """Whether the client may get a task in place of an answer."""
        return self.call.has_tasks and self.call.progress_token is None and self.task is None

    @property
    def log_level(self) -> str | None:
        """The least level of log messages that the client wants."""
        return level_of(self.caller, self.call)

    @property
    def is_told(self) -> bool:
        """Whether the client hears of steps."""
        return self.call.progress_token is not None or self.log_level is not None

    @property
    def silence(self) -> float:
        """Seconds after which it is looked whether to wait any longer."""
        if self.gives_task:
            return TASK_AFTER
        return ASKING if self.call.elicits and not self.call.modern else SILENCE

    async def result(self, turn: TurnView) -> Message:
        """The message with the result of a turn that has ended."""
        found = await result_of(self.services, self.caller.scope, turn)
        return self.message(with_conversation(found, turn.conversation_id) if self.began else found)

    def message(self, result: dict[str, Any]) -> Message:
        """The message with a result."""
        if self.task is not None:
            result["_meta"] = {**result.get("_meta", {}), RELATED_TASK: {"taskId": self.task}}
        return answer(self.call.id, finished(self.call, result))

    def pending(self, approval: Approval | None) -> Message:
        """The message that says that there is no result yet. Of a task it is an error, for its result is another one."""
        error = not_yet(self.turn, approval)
        if self.task is not None:
            return {"jsonrpc": "2.0", "id": self.call.id, "error": {"code": INTERNAL_ERROR, "message": told(error)}}
        return self.message(error_result(error, self.turn))


async def follow(followed: Followed) -> AsyncGenerator[Message | None]:
    """What a client is told of a turn, message by message; the last one is the answer. None shows that it goes on."""
    caller, services, turn = followed.caller, followed.services, followed.turn
    if turn.state != "running":
        yield await followed.result(turn)
        return
    begun, steps, asked = time.monotonic(), 0, set[str]()
    watched = services.listening.watch(caller.scope, turn.execution_id, None, silence=followed.silence)
    async with aclosing(watched) as events:
        async for event in events:
            told: Message | None = None
            waited = time.monotonic() - begun
            if followed.gives_task and waited >= TASK_AFTER and (event is None or event.kind == "step"):
                yield followed.message(await as_new_task(caller, services, turn))
                return
            if event is None:
                told = await _in_silence(followed, waited, asked)
                yield told
            elif event.kind == "step":
                if followed.log_level is not None:
                    logged = log_message(event.data, followed.log_level)
                    if logged is not None:
                        yield logged
                if followed.call.progress_token is not None:
                    steps += 1
                    yield _progress(followed.call, steps, event.data)
                told = await _at_step(followed, event.data, asked)
                if told is not None:
                    yield told
            elif event.kind in ("reply", "error"):
                told = await followed.result(await services.turns.show(caller.scope, turn.execution_id))
                yield told
            if told is not None and told.get("method") is None:
                return


async def _in_silence(followed: Followed, waited: float, asked: set[str]) -> Message | None:
    """The answer to whoever has waited for long enough."""
    put_aside = followed.task is None and any(approving.is_dismissed(followed.caller, each) for each in asked)
    if waited <= LONGEST_WAIT and not put_aside:
        return None
    return followed.pending(await pending(followed.services, followed.caller.scope, followed.turn))


async def _at_step(followed: Followed, step: Mapping[str, Any], asked: set[str]) -> Message | None:
    """What a client is told of a step beside its progress: where a person has to decide, the question, or that it waits.

    Args:
        followed: the turn.
        step: what has happened in it.
        asked: approvals of which the client's user was asked; this one may be added.
    """
    if step.get("kind") != "approval" or step.get("state") != ApprovalState.PENDING:
        return None
    caller, services, call = followed.caller, followed.services, followed.call
    waiting = [each for each in await all_pending(services, caller.scope, followed.turn) if each.id not in asked]
    if not waiting:
        return None
    if followed.gives_task:
        return followed.message(await as_new_task(caller, services, followed.turn))
    own = [each for each in waiting if approving.may_decide(caller, each)]
    if not call.elicits or followed.dismissed or not own:
        return followed.pending(waiting[0]) if followed.task is None else None  # of a task, somebody else decides
    if call.modern:
        return followed.message(await _input_required(followed, own))
    asked.add(own[0].id)
    return await _question(followed, own[0])


def _progress(call: Call, steps: int, step: Mapping[str, Any]) -> Message:
    what = {
        "open": f"begins {step.get('capability') or ''}".rstrip(),
        "model": f"asked {step.get('model')}",
        "tool": f"called {step.get('tool')}.{step.get('function')}",
        "handover": f"has the answer of {step.get('to')}",
        "approval": f"{step.get('action')}: {str(step.get('state')).lower()}",
    }.get(str(step.get("kind")), str(step.get("kind")))
    params = {
        "progressToken": call.progress_token,
        "progress": steps,
        "message": f"{step.get('agent')}: {what}",
    }
    return notification("notifications/progress", params)


async def _input_required(followed: Followed, approvals: Sequence[Approval]) -> dict[str, Any]:
    """The interim result that asks the client's user."""
    facts = {
        "x": followed.turn.execution_id,
        "a": [each.id for each in approvals[:MOST_QUESTIONS]],
        "d": calling.digest(followed.call),
        "n": followed.began,
    }
    state = await followed.services.seals.seal(STATE, followed.caller, facts, lasts=STATE_LASTS)
    requests = {each.id: approving.asking(each) for each in approvals[:MOST_QUESTIONS]}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


async def _question(followed: Followed, approval: Approval) -> Message:
    """The request to the client of an older revision. Its id says, sealed, what its answer is about: any replica can take it."""
    facts = {"a": approval.id}
    identity = await followed.services.seals.seal(QUESTION, followed.caller, facts, lasts=STATE_LASTS)
    params = approving.question(approval, mode=followed.call.version != "2025-06-18")
    if followed.task is not None:
        params["_meta"] = {RELATED_TASK: {"taskId": followed.task}}
    return {"jsonrpc": "2.0", "id": identity, "method": "elicitation/create", "params": params}
