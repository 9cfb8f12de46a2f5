"""Asking an agent for a client of OpenAI's API, and waiting for what comes of it."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from caxton.api.services import Services
from caxton.domain.errors import CaxtonError, ErrorReport, Hint, NotFound, ReplyPending
from caxton.domain.executions import TurnView
from caxton.domain.given import is_id
from caxton.domain.governance import Approval, ApprovalState
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Transaction
from caxton.recording.contents import unpack

RESPONSE = "resp_"
"""Before what tells executions apart, in the id of a response."""

LONGEST_WAIT = 600.0
"""Seconds that a request waits for its reply, as long as OpenAI's own clients do."""

KEEP_ALIVE = 15.0
"""Seconds between signs of life in a silent stream, so that proxies keep it open."""

SEPARATOR = "\n\n"
"""Between what an agent says before and after its calls."""

FIRST_LOOK = 1.0
"""Seconds until it is looked, the first time, whether a turn waits for a person."""

LONGEST_LOOK = 5.0
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A turn, with the text of its reply."""

    turn: TurnView
    text: str = ""
    approval: Approval | None = None
    """What the turn waits for."""


def response_id(execution_id: str) -> str:
    """The response that an execution is."""
    return RESPONSE + execution_id.removeprefix("x_")


def execution_of(identity: str) -> ExecutionId:
    """The execution that a response is.

    Raises:
        NotFound: it is the id of no response.
    """
    found = f"x_{identity.removeprefix(RESPONSE)}"
    if not identity.startswith(RESPONSE) or not is_id(found):
        raise NotFound(f'there is no response "{identity[:100]}"', details={"param": "previous_response_id"})
    return ExecutionId(found)


async def answer_of(services: Services, scope: Scope, turn: TurnView) -> Answer:
    """The turn with its reply's text, fetched if it is long; or with what it waits for."""
    if turn.reply is not None and turn.state == "completed":
        return Answer(turn, await unpack(services.blobs, scope, turn.reply.content))
    approval = await pending(services, scope, turn) if turn.state == "running" else None
    return Answer(turn, approval=approval)


async def wait_for(services: Services, scope: Scope, turn: TurnView) -> Answer:
    """Waits for the end of a turn, or until it waits for a person, or has waited for long enough."""
    until, look = time.monotonic() + LONGEST_WAIT, FIRST_LOOK
    while turn.state == "running":
        turn = await services.turns.reply(scope, turn.execution_id, look)
        if turn.state == "running":
            found = await answer_of(services, scope, turn)
            if found.approval is not None or time.monotonic() > until:
                return found
        look = min(2 * look, LONGEST_LOOK)
    return await answer_of(services, scope, turn)


async def spoken(services: Services, scope: Scope, turn: TurnView) -> AsyncGenerator[str | Answer]:
    """What a turn says, piece by piece; at last the answer: ended, or waiting for a person. "" shows that it goes on.

    The pieces together end with the reply. Before it stands what the agent said between its calls, and what it said in
    vain where a model's answer broke off: that has been sent already.
    """
    watched = services.listening.watch(scope, turn.execution_id, None, silence=KEEP_ALIVE)
    sent, current = False, ""
    async with aclosing(watched) as events:
        async for event in events:
            if event is None:
                yield ""
            elif event.kind == "delta":
                text = str(event.data["text"])
                yield f"{SEPARATOR}{text}" if sent and not current else text
                sent, current = True, current + text
            elif event.kind == "reset":
                current = ""
            elif event.kind == "step":
                if event.data.get("kind") == "model" and event.data.get("calls"):
                    current = ""
                elif event.data.get("kind") == "approval" and event.data.get("state") == ApprovalState.PENDING:
                    found = await answer_of(services, scope, await services.turns.show(scope, turn.execution_id))
                    if found.approval is not None:
                        yield found
                        return
            elif event.kind in ("reply", "error"):
                found = await answer_of(services, scope, await services.turns.show(scope, turn.execution_id))
                if found.text.startswith(current):
                    rest = found.text[len(current) :]
                    yield f"{SEPARATOR}{rest}" if sent and rest and not current else rest
                elif found.text:
                    yield f"{SEPARATOR}{found.text}"
                yield found
                return


async def all_pending(services: Services, scope: Scope, turn: TurnView) -> list[Approval]:
    """The approvals that a turn waits for, of all agents that work on it."""

    def read(transaction: Transaction) -> list[Approval]:
        ids = [record.execution.id for record in transaction.executions_of_turn(scope, turn.execution_id)]
        found = transaction.approvals_of(scope, ids) if ids else []
        return [each for each in found if each.state is ApprovalState.PENDING]

    return await services.turns.records.read(read)


async def pending(services: Services, scope: Scope, turn: TurnView) -> Approval | None:
    """The first of them."""
    return next(iter(await all_pending(services, scope, turn)), None)


def failure(turn: TurnView) -> CaxtonError:
    """Why a turn failed."""
    error = CaxtonError.from_report(turn.error or ErrorReport(code="execution_failed", message="the turn failed"))
    error.details = {**error.details, **_ids(turn)}
    return error


def not_yet(found: Answer) -> ReplyPending:
    """What is told of a turn that waits for a person, or takes longer than a request may wait."""
    waits = f"a person has to decide on it first: approval {found.approval.id}" if found.approval else "it takes longer"
    details: dict[str, Any] = {**_ids(found.turn), "approval_id": found.approval.id if found.approval else None}
    return ReplyPending(
        f"the answer is not there yet: {waits}",
        f"the agent goes on with it; get the answer as response {response_id(found.turn.execution_id)}",
        *([Hint(text="decide on it", command=f"caxton approvals grant {found.approval.id}")] if found.approval else []),
        details=details,
    )


def _ids(turn: TurnView) -> dict[str, Any]:
    return {
        "execution_id": turn.execution_id,
        "conversation_id": turn.conversation_id,
        "response_id": response_id(turn.execution_id),
    }
