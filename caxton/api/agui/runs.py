"""Runs: a thread is a conversation, a run a turn of it, and an interrupt an approval."""

from typing import Any

from starlette.responses import Response

from caxton.api.agui.bodies import (
    GivenFile,
    Inline,
    Resume,
    RunInput,
    context_of,
    read_answer,
    read_input,
    said_in,
)
from caxton.api.agui.events import Run
from caxton.api.agui.frames import Behind, Place, Telling, refusal
from caxton.api.agui.threads import Thread
from caxton.api.agui.told import Told
from caxton.api.services import Services
from caxton.api.sse import EventStream
from caxton.domain.errors import ConversationBusy, InvalidInput, InvalidState, NotFound, ToolInputInvalid
from caxton.domain.executions import Target, TurnView
from caxton.domain.files import FileReference, check_count
from caxton.domain.governance import Approval, Verdict
from caxton.domain.permissions import Permission
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
    text, given, before = said_in(body)
    key = f"agui\x1f{body.run_id}"
    found = await thread.find(key)
    conversation = found.conversation
    if found.turn is not None:
        await thread.check_same(found.turn, text, given)
        return await services.turns.show(caller.scope, found.turn)
    found.check_free()
    files = await _brought(caller, services, given)
    variables: dict[str, Any] | None = {"state": body.state} if isinstance(body.state, dict) and body.state else None
    context = context_of(body, before if not conversation.message_count else ())
    asked = Ask(Target(), text, variables=variables, idempotency_key=key, context=context, files=files)
    return await services.conversations.send(caller, conversation.id, asked, wait=None)


async def _brought(caller: Caller, services: Services, given: list[GivenFile]) -> list[Artifact]:
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
    conversations = {each async for each in thread.conversations()}
    latest: Approval | None = None
    for given in body.resume or ():
        approval = await services.approvals.show(caller, given.interrupt_id)
        if approval.conversation_id not in conversations or (latest and latest.root_id != approval.root_id):
            raise NotFound(f'the thread has no interrupt "{given.interrupt_id[:64]}"', details={"param": "resume"})
        await _decide(caller, services, given)
        latest = approval if latest is None else max(latest, approval, key=lambda each: each.requested_at)
    assert latest is not None
    step = f"{latest.execution_id}.approval.{latest.step}.{latest.call}"
    return await services.turns.show(caller.scope, latest.root_id), Behind(step, latest.requested_at)


async def _decide(caller: Caller, services: Services, given: Resume) -> None:
    answer = read_answer(given)
    verdict = Verdict.GRANT if answer.approved else Verdict.REJECT
    wanted = Wanted(answer.reason, answer.edited_args if answer.approved else None)
    await services.approvals.decide(caller, given.interrupt_id, verdict, wanted)
