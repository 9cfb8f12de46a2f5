"""Runs: a thread is a conversation, a run a turn of it, and an interrupt an approval."""

from collections.abc import AsyncGenerator
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
from caxton.api.agui.frames import Behind, Place, Telling
from caxton.api.agui.told import Told
from caxton.api.services import Services
from caxton.api.sse import EventStream
from caxton.api.targets import target_named
from caxton.domain.conversations import ENDED, Conversation
from caxton.domain.errors import InvalidInput, NotFound
from caxton.domain.executions import Target, TurnView
from caxton.domain.files import FileReference, check_count
from caxton.domain.governance import Approval, Verdict
from caxton.domain.permissions import Permission
from caxton.domain.tools import Artifact
from caxton.service.approvals import Wanted
from caxton.service.context import Caller
from caxton.service.conversations import Start, identity_of
from caxton.service.turns import Ask

MOST_GENERATIONS = 100
"""Conversations of one thread, one after another: an old one expires, and the thread goes on."""


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
    behind: Behind | None = None
    if body.resume:
        turn, behind = await _resumed(caller, services, capability, body)
    else:
        turn = await _asked(caller, services, capability, body)
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
    headers = {
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "X-Caxton-Execution": turn.execution_id,
        "X-Caxton-Conversation": turn.conversation_id,
    }
    return EventStream(telling.frames(body.state), headers=headers)


# --- beginning -------------------------------------------------------------------------------------------------------


async def _asked(caller: Caller, services: Services, capability: str, body: RunInput) -> TurnView:
    """The turn that the run is. The same run again is the same turn."""
    text, given, before = said_in(body)
    conversation, known = await _conversation(caller, services, capability, body)
    if known is not None:
        return known
    files = await _brought(caller, services, given)
    variables: dict[str, Any] | None = {"state": body.state} if isinstance(body.state, dict) and body.state else None
    context = context_of(body, before if not conversation.message_count else ())
    asked = Ask(
        _target_of(capability),
        text,
        variables=variables,
        idempotency_key=_key(body),
        context=context,
        files=files,
    )
    return await services.conversations.send(caller, conversation.id, asked, wait=None)


def _target_of(capability: str) -> Target:
    """Whom the last part of the path stands for.

    Raises:
        NotFound: it is no such name.
    """
    found = target_named(capability)
    if found is None:
        raise NotFound(
            f'there is no capability "{capability[:100]}"',
            'name one, such as "analyze-data" or "analyze-data@^1", or an agent as "agent:NAME"',
            details={"capability": capability[:100]},
        )
    return found


async def _conversation(
    caller: Caller, services: Services, capability: str, body: RunInput
) -> tuple[Conversation, TurnView | None]:
    """The conversation of a thread, and the turn of the run if it has been asked before."""
    target = _target_of(capability)
    for generation in range(MOST_GENERATIONS):
        key = _thread_key(capability, body, generation)
        found = await services.conversations.start(caller, Start(target, idempotency_key=key))
        try:
            identity = services.turns.execution_id(caller.scope, found.id, _key(body))
            return found, await services.turns.show(caller.scope, identity)
        except NotFound:
            if found.state not in ENDED:
                return found, None
    raise InvalidInput("the thread has been gone on with too often", "begin a new thread")


def _thread_key(capability: str, body: RunInput, generation: int) -> str:
    return f"agui\x1f{capability}\x1f{body.thread_id}\x1f{generation}"


def _key(body: RunInput) -> str:
    return f"agui\x1f{body.run_id}"


async def _brought(caller: Caller, services: Services, given: list[GivenFile]) -> list[Artifact]:
    check_count(len(given))
    return [
        await services.files.keep(caller, file.content, "")
        if isinstance(file, Inline)
        else await services.files.find(caller, FileReference(digest=file.digest))
        for file in given
    ]


async def _resumed(caller: Caller, services: Services, capability: str, body: RunInput) -> "tuple[TurnView, Behind]":
    """The turn that goes on with answers to its interrupts, and where it does."""
    caller.require(Permission.APPROVALS_DECIDE)
    conversations = {each async for each in _of_thread(caller, services, capability, body)}
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


async def _of_thread(caller: Caller, services: Services, capability: str, body: RunInput) -> AsyncGenerator[str]:
    """The conversations of a thread."""
    for generation in range(MOST_GENERATIONS):
        identity = identity_of(caller.scope, _thread_key(capability, body, generation))
        try:
            found = await services.conversations.show(caller.scope, identity)
        except NotFound:
            return
        yield found.id
        if found.state not in ENDED:
            return


async def _decide(caller: Caller, services: Services, given: Resume) -> None:
    answer = read_answer(given)
    verdict = Verdict.GRANT if answer.approved else Verdict.REJECT
    wanted = Wanted(answer.reason, answer.arguments if answer.approved else None)
    await services.approvals.decide(caller, given.interrupt_id, verdict, wanted)
