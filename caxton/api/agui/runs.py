"""Runs: a thread is a conversation, a run a turn of it, and an interrupt an approval."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from caxton.api.agui.bodies import (
    Answer,
    GivenFile,
    Inline,
    RunInput,
    context_of,
    read_answer,
    read_input,
    said_in,
)
from caxton.api.agui.events import Run
from caxton.api.agui.frames import Behind, Place, Telling, refusal
from caxton.api.agui.threads import Thread, message_of, pending_of
from caxton.api.agui.told import Told
from caxton.api.services import Services
from caxton.api.sse import EventStream
from caxton.domain.errors import ConversationBusy, InvalidInput, InvalidState, NotFound, ToolInputInvalid
from caxton.domain.executions import Target, TurnView
from caxton.domain.files import FileReference, check_count
from caxton.domain.governance import Approval, ApprovalState, Verdict
from caxton.domain.permissions import Permission
from caxton.domain.records import Transaction
from caxton.domain.tools import Artifact
from caxton.service.approvals import Wanted
from caxton.service.context import Caller
from caxton.service.turns import Ask

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_OF_INTERRUPTS = (InvalidInput, InvalidState, NotFound, ToolInputInvalid)
"""What a run that resumes fails with, or one that has to: the protocol wants that told as an event."""


async def run(
    caller: Caller, services: Services, capability: str, content: bytes, last_event_id: str | None
) -> Response:
    """Answers `POST /v1/agui/{capability}`.

    Args:
        caller: who asks.
        services: the use cases.
        capability: whom to ask: a capability, with a range of versions perhaps, or `agent:NAME`.
        content: the run's input.
        last_event_id: the last event that the client has of this run.

    Raises:
        CaxtonError: the run cannot begin.
    """
    body = read_input(content)
    thread = Thread(caller, services, capability, body.thread_id)
    behind: Behind | None = None
    try:
        if body.resume:
            turn, behind = await _resumed(caller, services, thread, body)
        else:
            turn = await _asked(caller, services, thread, body)
    except _OF_INTERRUPTS as error:
        if not (body.resume or isinstance(error, ConversationBusy)):
            raise
        return EventStream(refusal(body.thread_id, body.run_id, error.report()), headers=_HEADERS)
    may = caller.permissions
    told = Told(
        services,
        caller.scope,
        turn,
        contents=Permission.MESSAGES_READ in may,
        approvals=Permission.APPROVALS_READ in may,
    )
    place = Place.read(last_event_id or "")
    telling = Telling(services, caller.scope, Run(body.thread_id, body.run_id, turn, told), place, behind)
    headers = {**_HEADERS, "X-Caxton-Execution": turn.execution_id, "X-Caxton-Conversation": turn.conversation_id}
    return EventStream(telling.frames(body.state), headers=headers)


# --- beginning -------------------------------------------------------------------------------------------------------


async def _asked(caller: Caller, services: Services, thread: Thread, body: RunInput) -> TurnView:
    """The turn that the run is. The same run again is the same turn."""
    said = said_in(body)
    key = f"agui\x1f{body.run_id}"
    found = await thread.find(key)
    conversation = found.conversation
    if found.turn is not None:
        await thread.check_same(found.turn, said.content, said.files)
        return await services.turns.show(caller.scope, found.turn)
    found.check_free()
    files = await _brought(caller, services, said.files)
    variables: dict[str, Any] | None = {"state": body.state} if isinstance(body.state, dict) and body.state else None
    context = context_of(body, said.before if not conversation.message_count else (), said.places)
    asked = Ask(Target(), said.content, variables=variables, idempotency_key=key, context=context, files=files)
    return await services.conversations.send(caller, conversation.id, asked, wait=None)


async def _brought(caller: Caller, services: Services, given: Sequence[GivenFile]) -> list[Artifact]:
    check_count(len(given))
    return [
        await services.files.keep(caller, file.content, "")
        if isinstance(file, Inline)
        else await services.files.find(caller, FileReference(digest=file.digest))
        for file in given
    ]


# --- going on --------------------------------------------------------------------------------------------------------


async def _resumed(caller: Caller, services: Services, thread: Thread, body: RunInput) -> "tuple[TurnView, Behind]":
    """The turn that goes on with answers to its interrupts, and where it does.

    Raises:
        NotPermitted: the caller may not decide.
    """
    caller.require(Permission.APPROVALS_DECIDE)
    given = {each.interrupt_id: read_answer(each) for each in body.resume or ()}
    if len(given) < len(body.resume or ()):
        raise InvalidInput("an interrupt is answered twice", details={"param": "resume"})
    conversations = {each async for each in thread.conversations()}
    found = [await services.approvals.show(caller, identity) for identity in given]
    for approval in found:
        if approval.conversation_id not in conversations or approval.root_id != found[0].root_id:
            raise NotFound(f'the thread has no interrupt "{approval.id[:64]}"', details={"param": "resume"})
    await _check_all_answered(caller, services, found)
    for approval in found:
        await _decide(caller, services, approval.id, given[approval.id])
    latest = max(found, key=lambda each: each.requested_at)
    step = f"{latest.execution_id}.approval.{latest.action_id}"
    return await services.turns.show(caller.scope, latest.root_id), Behind(step, latest.requested_at)


async def _check_all_answered(caller: Caller, services: Services, given: Sequence[Approval]) -> None:
    """Makes sure that a resume answers all that the run before it ended with, as the protocol wants. What was asked for
    since then is an interrupt of the next run, and a resume that comes again answers what is decided already.

    Raises:
        InvalidInput: an answer is missing; none of those that are given counts.
    """
    if all(each.state is not ApprovalState.PENDING for each in given):
        return
    root, ids = given[0].root_id, {each.id for each in given}
    last = max(each.requested_at for each in given)
    together = {(each.execution_id, each.step) for each in given}

    def read(transaction: Transaction) -> list[Approval]:
        executions = transaction.executions_of_turn(caller.scope, root)
        return pending_of(transaction, caller.scope, [each.execution.id for each in executions])

    missing = [
        each
        for each in await services.turns.records.read(read)
        if each.id not in ids
        and (each.requested_at <= last or (each.question is None and (each.execution_id, each.step) in together))
    ]
    if missing:
        about = "; ".join(f"{each.id} ({message_of(each)})" for each in missing)
        raise InvalidInput(
            f"the thread has more interrupts, and nothing was decided: {about}",
            "answer all of them in one `resume`",
            details={"param": "resume", "interrupts": [each.id for each in missing]},
        )


async def _decide(caller: Caller, services: Services, approval_id: str, answer: Answer) -> None:
    verdict = Verdict.GRANT if answer.approved else Verdict.REJECT
    wanted = Wanted(answer.reason, answer.edited_args if answer.approved else None)
    await services.approvals.decide(caller, approval_id, verdict, wanted)
