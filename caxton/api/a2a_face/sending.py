"""Messages to agents: a new task, or a person's decision on what a task waits for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from caxton.api.a2a_face.bodies import GivenFile, Message, SendMessage, content_of
from caxton.api.a2a_face.errors import ContentTypeNotSupported, InvalidParams, TaskNotFound, UnsupportedOperation
from caxton.api.a2a_face.push import check_push, put_push
from caxton.api.a2a_face.tasks import Asking, Json, task_found, task_json
from caxton.api.openai_face.asking import wait_for
from caxton.api.targets import target_named
from caxton.domain.caller_context import CallerContext
from caxton.domain.errors import NotFound, PayloadTooLarge, UnsupportedMediaType
from caxton.domain.executions import Target, TurnView
from caxton.domain.files import FileReference, check_count
from caxton.domain.given import is_id
from caxton.domain.governance import Approval, Verdict
from caxton.domain.ids import ConversationId, ExecutionId, digest_of
from caxton.domain.permissions import Permission
from caxton.domain.quantities import format_size
from caxton.domain.tools import Artifact
from caxton.service.approvals import Wanted
from caxton.service.conversations import Start
from caxton.service.tasks import Task, task_of
from caxton.service.turns import Ask
from caxton.views.a2a import EXTENSION

SKILL: Final = ("skill", "skillId", "capability")
"""Names in a message's metadata, or those of a request, under which it says what it is for."""

LONGEST_REASON: Final = 2_000

LONGEST_DECISION: Final = LONGEST_REASON + 100
"""Characters of a text that decides: the reason, and what is decided."""

LONGEST_CONTEXT_ID: Final = 40
"""Characters of a context's id that a client chooses."""

OWN_IDS: Final = "c_"
"""With which those begin that the server chooses."""

_SAID = re.compile(
    r"\s*(?:(?P<yes>approved?|grant(?:ed)?|yes|ok|okay)|(?P<no>reject(?:ed)?|refuse[d]?|den(?:y|ied)|no))\b"
    r"(?:\s+(?P<id>ap_[0-9a-z]{22})\b)?[\s:,.;!–-]*(?P<why>.*)",
    re.IGNORECASE | re.DOTALL,
)
_VERDICTS: Final = {
    "approve": Verdict.GRANT,
    "grant": Verdict.GRANT,
    "reject": Verdict.REJECT,
    "deny": Verdict.REJECT,
}


@dataclass(frozen=True, slots=True)
class Begun:
    """What has become of a message: the turn that the task is."""

    turn: TurnView
    text: str = ""
    """What was asked."""
    capability: str | None = None
    """Which it was for; None where somebody decided on a task, or an agent was named."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person says of an approval."""

    verdict: Verdict
    wanted: Wanted
    approval_id: str | None
    """Where the message names it."""


async def send_message(asking: Asking, target: str | None, request: SendMessage) -> Json:
    """`SendMessage`: the task, as it stands when it is over or waits for a person, or at once if the client wants that.

    Args:
        asking: who sends.
        target: whom the address or the request's tenant names; None for none.
        request: the message, and how it is answered.

    Raises:
        CaxtonError: it cannot be sent.
    """
    at_once = request.settings.return_immediately
    begun = await begin(asking, target, request, wait=None if at_once else 0.0)
    turn = begun.turn
    if not at_once and turn.state == "running":
        turn = (await wait_for(asking.services, asking.caller.scope, turn)).turn
    asking = asking.with_modes(request.settings.accepted_output_modes)
    task = task_of(turn, begun.text, begun.capability) or await task_found(asking, turn.execution_id)
    return {"task": await task_json(asking, task, request.settings.history_length)}


async def begin(asking: Asking, target: str | None, request: SendMessage, *, wait: float | None) -> Begun:
    """Has a message accepted, or a decision made.

    Raises:
        CaxtonError: it is refused.
    """
    push = request.settings.task_push_notification_config
    if push is not None:
        check_push(asking, push)
    if request.message.task_id:
        task_id = await _follow_up(asking, request.message)
        begun = Begun(await asking.services.turns.show(asking.caller.scope, task_id))
    else:
        begun = await _new_task(asking, target, request, None if push is not None else wait)
    if push is not None:
        await put_push(asking, begun.turn.execution_id, push)
    return begun


async def _new_task(asking: Asking, target: str | None, request: SendMessage, wait: float | None) -> Begun:
    message = request.message
    caller, services = asking.caller, asking.services
    caller.require(Permission.MESSAGES_SEND)
    text, given, places = content_of(message)
    if not text and not given:
        raise InvalidParams("the message is empty", "send a part with a text or data")
    _check_size(text, services.limits.content_bytes)
    wanted, files = target or _named(request), await _files(asking, given)
    # Another client may use the same id, and one that says something else under it has not sent the same message again.
    content = digest_of("\x1f".join([wanted or "", text, *(file.digest for file in files)]).encode(errors="replace"))
    key = f"a2a\x1f{caller.principal}\x1f{message.message_id}\x1f{content}"
    context = CallerContext(places=places) if places else None
    said = Ask(Target(), text, idempotency_key=key, context=context, files=files)
    if message.context_id:
        return await _in_context(asking, message.context_id, wanted, said, wait)
    aim = target_of(wanted) if wanted else await _only_target(asking)
    started = await services.conversations.start(caller, Start(aim, idempotency_key=key))
    turn = await services.conversations.send(caller, started.id, said, wait=wait)
    return Begun(turn, text, aim.capability)


def target_of(name: str) -> Target:
    """Whom a name stands for: a capability, with a range of versions perhaps, or an agent as `agent:NAME`.

    Raises:
        NotFound: it is no such name.
    """
    hint = 'a skill is a capability, such as "analyze-data" or "analyze-data@^1"; an agent is "agent:NAME"'
    return target_named(name, "skill", hint)


async def check_target(asking: Asking, target: str | None) -> None:
    """Makes sure that the workspace has what an address names, before anything else is looked at.

    Raises:
        NotFound: it has not.
    """
    if target is None:
        return
    aim, services, scope = target_of(target), asking.services, asking.caller.scope
    agents = services.agents
    index = await agents.records.read(lambda transaction: agents.directory.registry(transaction, scope).index)
    if aim.agent not in index.agents and aim.capability not in index.providers:
        raise NotFound(
            f'there is no skill "{target[:100]}" in this workspace',
            "the card of the workspace lists its skills",
            details={"capability": target[:100]},
        )


def decision_of(message: Message) -> Decided:
    """What a message decides.

    Raises:
        InvalidParams: nothing that can be understood.
    """
    texts: list[str] = []
    for part in message.parts:
        if isinstance(part.data, dict) and "decision" in part.data:
            return _decided(cast("dict[str, Any]", part.data))
        if part.text:
            texts.append(part.text)
    said = " ".join(texts).strip()
    if len(said) > LONGEST_DECISION:
        raise _too_long()
    found = _SAID.fullmatch(said)
    if found is None:
        raise _unclear()
    verdict = Verdict.GRANT if found["yes"] else Verdict.REJECT
    return Decided(verdict, Wanted(_reason(found["why"].strip())), found["id"])


def _decided(data: dict[str, Any]) -> Decided:
    verdict = _VERDICTS.get(str(data["decision"]).lower())
    reason, arguments, approval = data.get("reason", ""), data.get("arguments"), data.get("approvalId")
    if verdict is None or not isinstance(reason, str):
        raise _unclear()
    if (arguments is not None and not isinstance(arguments, dict)) or not isinstance(approval, str | None):
        raise _unclear()
    return Decided(verdict, Wanted(_reason(reason), cast("dict[str, Any] | None", arguments)), approval)


def _reason(text: str) -> str:
    if len(text) > LONGEST_REASON or "\0" in text:
        raise _too_long()
    return text


def _too_long() -> InvalidParams:
    return InvalidParams(f"a reason has {LONGEST_REASON} characters at most")


def _unclear() -> InvalidParams:
    return InvalidParams(
        "the message does not say what is decided",
        'send data {"decision": "approve"} or {"decision": "reject", "reason": "…"}, or a text that begins with '
        '"approve" or "reject"',
    )


async def _files(asking: Asking, given: Sequence[GivenFile]) -> Sequence[Artifact]:
    """The files that go with a message, kept.

    Raises:
        ContentTypeNotSupported: one is of no type that is taken.
        InvalidInput: there are too many, or one is not there.
    """
    check_count(len(given))
    files, found = asking.services.files, list[Artifact]()
    try:
        for each in given:
            if each.digest is None:
                found.append(await files.keep(asking.caller, each.content, each.name))
            else:
                found.append(await files.find(asking.caller, FileReference(digest=each.digest, name=each.name)))
    except UnsupportedMediaType as error:
        raise ContentTypeNotSupported(error.message, *error.hints, details=error.details) from None
    return found


def _check_size(text: str, limit: int) -> None:
    if len(text) > limit or len(text.encode(errors="replace")) > limit:
        raise PayloadTooLarge(
            f"the message is larger than {format_size(limit)}",
            "put it into a file that a tool can read",
            details={"limit": limit},
        )


async def _follow_up(asking: Asking, message: Message) -> ExecutionId:
    """A message to a task, which can only be a decision on what it waits for."""
    assert message.task_id
    task = await task_found(asking, message.task_id)
    if message.context_id and message.context_id != task.conversation_id:
        raise InvalidParams("the contextId is not that of the task", "leave it out: the task has one")
    if task.approval is None:
        _check_again(message, task)
    asking.caller.require(Permission.APPROVALS_DECIDE)
    found = decision_of(message)
    identity = found.approval_id or _only_approval(task).id
    approval = await asking.services.approvals.show(asking.caller, identity)
    if approval.root_id != task.id:
        raise TaskNotFound.of(task.id)
    await asking.services.approvals.decide(asking.caller, approval.id, found.verdict, found.wanted)
    return task.id


def _check_again(message: Message, task: Task) -> None:
    """Refuses what is said to a task that waits for nobody, but for a decision that was made before and names its approval: its
    answer may have been lost.

    Raises:
        UnsupportedOperation: it is none.
    """
    try:
        found = decision_of(message)
    except InvalidParams:
        found = None
    if found is None or found.approval_id is None:
        at = "is over" if task.has_ended else "is at work, and waits for nobody"
        raise UnsupportedOperation(
            f'task "{task.id}" {at}',
            "send a message without taskId: with its contextId it goes on with the conversation",
            details={"taskId": task.id, "state": str(task.state)},
        )


def _only_approval(task: Task) -> Approval:
    """The approval that a decision is about which names none.

    Raises:
        InvalidParams: the task has asked for several: whoever decides may have seen another one, or has decided on it before.
    """
    assert task.approval is not None
    if task.approvals > 1:
        raise InvalidParams(
            "the task has asked for several approvals, and the decision does not name one",
            f'say which, as "approve {task.approval.id}", or as "approvalId" of the data',
            details={"problems": [{"path": "message.parts", "message": "the approval's id"}]},
        )
    return task.approval


async def _in_context(asking: Asking, context: str, wanted: str | None, said: Ask, wait: float | None) -> Begun:
    """A message into a conversation that there is."""
    caller, services = asking.caller, asking.services
    if not is_id(context) or len(context) > LONGEST_CONTEXT_ID:
        raise _no_context(context)
    try:
        identity = ConversationId(context)
        known, _ = await services.conversations.address(caller.scope, identity)
    except NotFound:
        if context.startswith(OWN_IDS):  # one of ours, that there is not, or no longer
            raise _no_context(context) from None
        aim = target_of(wanted) if wanted else await _only_target(asking)
        begun = await services.conversations.start(caller, Start(aim, id=ConversationId(context)))
        identity, known = begun.id, aim
    if wanted is not None:
        aim = target_of(wanted)
        if (aim.capability, aim.agent) != (known.capability, known.agent):
            raise InvalidParams("the conversation is with another skill", "begin a new one: leave contextId out")
    turn = await services.conversations.send(caller, identity, said, wait=wait)
    return Begun(turn, said.content, known.capability)


def _no_context(context: str) -> InvalidParams:
    return InvalidParams(
        f'contextId: there is no conversation "{context[:100]}"',
        f"leave contextId out to begin one, or choose an id of letters, digits, _ and -, {LONGEST_CONTEXT_ID} at most",
        details={"problems": [{"path": "message.contextId", "message": "no conversation of this workspace"}]},
    )


def _named(request: SendMessage) -> str | None:
    """Whom the metadata of a message, or of its request, name."""
    for metadata in (request.message.metadata, request.metadata):
        given: dict[str, Any] = metadata or {}
        inside = given.get(EXTENSION)
        own = cast("dict[str, Any]", inside) if isinstance(inside, dict) else {}
        for place in (own, given):
            for name in SKILL:
                if isinstance(found := place.get(name), str) and found:
                    return found
    return None


async def _only_target(asking: Asking) -> Target:
    """The capability of a workspace that offers one, for messages that name none."""
    async with asking.services.long_answers.turn(asking.caller.scope.customer):
        offered = await asking.services.agents.capabilities(asking.caller, None)
    if len(offered) == 1:
        return Target(capability=offered[0].name)
    names = [each.name for each in offered[:20]]
    raise InvalidParams(
        "the message does not say which skill it is for",
        'name one in its metadata, as {"skill": "NAME"}, or send it to /a2a/v1/NAME',
        details={"skills": names, "problems": [{"path": "message.metadata.skill", "message": "a skill's name"}]},
    )
