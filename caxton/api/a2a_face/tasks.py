"""Tasks, statuses and artifacts as the A2A protocol writes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic.alias_generators import to_camel

from caxton.api.a2a_face.bodies import ListTasks, TaskQuery
from caxton.api.a2a_face.errors import InvalidParams, TaskNotCancelable, TaskNotFound
from caxton.api.services import Services
from caxton.domain.given import is_id
from caxton.domain.ids import ConversationId
from caxton.domain.messages import TYPED
from caxton.domain.permissions import Permission
from caxton.recording.contents import unpack
from caxton.service.context import Caller
from caxton.service.tasks import Task, TasksWanted, cursor_behind
from caxton.views.a2a import EXTENSION, TERMINAL, TaskState, status_update, timestamp

REPLY = "reply"
"""The artifact that the agent's answer is."""

JSON = "application/json"

LARGEST_PAGE = 4 << 20
"""Bytes of requests and replies after which a page of tasks ends, however many are wanted."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and how the answer is to be written."""

    caller: Caller
    services: Services
    base: str
    """Address of the server, as the client knows it."""
    modes: tuple[str, ...] = ()
    """Media types that the client takes; none: all."""
    extended: bool = False
    """Whether the client has asked for Caxton's extension."""

    def with_modes(self, modes: Sequence[str] | None) -> "Asking":
        """The same, with the media types that a request names."""
        return replace(self, modes=tuple(modes or ()))

    def takes(self, media_type: str) -> bool:
        """Whether the client wants parts of this type."""
        kind = media_type.partition("/")[0]
        return not self.modes or any(mode in (media_type, f"{kind}/*", "*/*", "*") for mode in self.modes)


async def task_found(asking: Asking, task_id: str) -> Task:
    """A task of the caller's workspace.

    Raises:
        TaskNotFound: there is none of that id.
    """
    found = await asking.services.tasks.show(asking.caller.scope, task_id)
    if found is None:
        raise TaskNotFound.of(task_id)
    return found


async def get_task(asking: Asking, query: TaskQuery) -> Json:
    """`GetTask`.

    Raises:
        TaskNotFound: there is none of that id.
    """
    return await task_json(asking, await task_found(asking, query.id), query.history_length)


async def list_tasks(asking: Asking, query: ListTasks) -> Json:
    """`ListTasks`: those of the workspace, the latest change first.

    Raises:
        InvalidParams: the context is no id.
        CursorInvalid: the page token is damaged.
    """
    if query.context_id and not is_id(query.context_id):
        raise InvalidParams("contextId: this is no id of a conversation")
    context = ConversationId(query.context_id) if query.context_id else None
    wanted = TasksWanted(context, query.status, query.status_timestamp_after)
    services, scope, length = asking.services, asking.caller.scope, query.history_length
    async with services.long_answers.turn(scope.customer):
        page = await services.tasks.list_tasks(scope, wanted, query.page_token, query.page_size)
        tasks = _within(page.tasks, artifacts=query.include_artifacts)
        found = [await task_json(asking, task, length, artifacts=query.include_artifacts) for task in tasks]
    following = page.next if len(tasks) == len(page.tasks) else cursor_behind(tasks[-1])
    return {"tasks": found, "nextPageToken": following, "pageSize": len(found), "totalSize": page.total}


def _within(tasks: Sequence[Task], *, artifacts: bool) -> list[Task]:
    """As many of `tasks` as one page has room for, and one at least."""
    found: list[Task] = []
    size = 0
    for task in tasks:
        contents = (task.asked, task.reply.content if artifacts and task.reply is not None else None)
        size += sum(content.size for content in contents if content is not None)
        if found and size > LARGEST_PAGE:
            break
        found.append(task)
    return found


async def cancel_task(asking: Asking, query: TaskQuery) -> Json:
    """`CancelTask`.

    Raises:
        TaskNotFound: there is none of that id.
        TaskNotCancelable: it is over.
        NotPermitted: the caller may not cancel.
    """
    asking.caller.require(Permission.CONVERSATIONS_END)
    task = await task_found(asking, query.id)
    if not task.has_ended:
        await asking.services.conversations.cancel_turn(asking.caller, task.id)
        task = await task_found(asking, query.id)
        if task.state is TaskState.CANCELED or not task.has_ended:
            return await task_json(asking, task, None)
    raise TaskNotCancelable(
        f'task "{task.id}" is over: {task.state}', "get it to see its result", details={"taskId": task.id}
    )


async def task_json(asking: Asking, task: Task, history_length: int | None, *, artifacts: bool = True) -> Json:
    """A task as the protocol has it.

    Args:
        asking: who asks.
        task: the task.
        history_length: how many messages of its history are wanted; None: all.
        artifacts: whether its results are.
    """
    found: Json = {"id": task.id, "contextId": task.conversation_id, "status": status_json(asking, task)}
    if artifacts and task.state is TaskState.COMPLETED:
        found["artifacts"] = await artifacts_of(asking, task)
    elif artifacts:
        found["artifacts"] = []
    if history_length != 0 and task.asked is not None:
        text = await unpack(asking.services.blobs, asking.caller.scope, task.asked)
        found["history"] = [_message(task, task.asked_id, "ROLE_USER", [{"text": text}])]
    found["metadata"] = {EXTENSION: _facts(task)}
    return found


def status_json(asking: Asking, task: Task) -> Json:
    """The status of a task, with a message where there is something to say."""
    status: Json = {"state": str(task.state), "timestamp": timestamp(task.since)}
    if task.approval is not None:
        parts = _question(asking, task)
        status["message"] = _message(task, f"{task.approval.id}.asked", "ROLE_AGENT", parts)
    elif task.error is not None and task.has_ended:
        hints = "; ".join(hint.text for hint in task.error.hints)
        text = f"{task.error.message}. {hints}" if hints else task.error.message
        status["message"] = _message(task, f"{task.id}.error", "ROLE_AGENT", [{"text": text}])
    return status


def update_json(asking: Asking, task: Task) -> Json:
    """The event that tells a task's status."""
    update = status_update(task.id, task.conversation_id, status_json(asking, task))
    if task.state in TERMINAL:
        update["statusUpdate"]["metadata"] = {EXTENSION: _facts(task)}
    return update


async def artifacts_of(asking: Asking, task: Task) -> list[Json]:
    """What a task has brought: the reply, and files that tools made."""
    if task.reply is None:
        return []
    text = await unpack(asking.services.blobs, asking.caller.scope, task.reply.content)
    # An agent may have nothing to say beside its files.
    found = [artifact(REPLY, "reply", reply_parts(asking, task, text))] if text or not task.reply.artifacts else []
    for number, made in enumerate(task.reply.artifacts, 1):
        address = f"{asking.base}/v1/blobs/{made.digest}"
        part = {"url": address, "filename": made.name, "mediaType": made.media_type}
        found.append(artifact(f"file-{number}", made.name, [part]))
    return found


def reply_parts(asking: Asking, task: Task, text: str) -> list[Json]:
    """The reply: an object where the capability has a schema for it and the client takes one, else a text."""
    typed = task.reply is not None and bool(task.reply.metadata.get(TYPED))
    if typed and asking.takes(JSON):
        return [{"data": json.loads(text), "mediaType": JSON}]
    return [{"text": text, "mediaType": JSON if typed else "text/plain"}]


def artifact(identity: str, name: str, parts: Sequence[Json]) -> Json:
    """An artifact."""
    return {"artifactId": identity, "name": name, "parts": list(parts)}


def _message(task: Task, identity: str, role: str, parts: list[Json]) -> Json:
    return {
        "messageId": identity,
        "contextId": task.conversation_id,
        "taskId": task.id,
        "role": role,
        "parts": parts,
    }


def _question(asking: Asking, task: Task) -> list[Json]:
    """What a person has to decide, as far as the caller may know it."""
    assert task.approval is not None
    approval = task.approval
    if Permission.APPROVALS_READ not in asking.caller.permissions:
        return [{"text": "A person has to decide before the work goes on."}]
    action = f"{approval.action_type} {approval.name}".strip()
    named = f" {approval.id}" if task.approvals > 1 else ""  # whoever says yes says to what
    data = json.dumps({"decision": "approve", **({"approvalId": approval.id} if named else {})})
    text = (
        f"{approval.agent} asks for approval: {action}. Whoever may decide answers with a message to this task: "
        f'"approve{named}" or "reject{named}", with a reason behind it if need be, or data {data}.'
    )
    asked: Json = {
        "approvalId": approval.id,
        "action": action,
        "content": approval.content,
        "riskLevel": str(approval.risk_level),
        "for": str(approval.approval_mode),
        "fourEyes": approval.four_eyes,
        "approvalsNeeded": approval.approvals_needed,
        "votes": len(approval.votes),
        "expiresAt": timestamp(approval.expires_at),
        "decisions": ["approve", "reject"],
    }
    return [{"text": text}, {"data": asked, "mediaType": JSON}]


def _facts(task: Task) -> Json:
    """What A2A has no place for."""
    usage = task.usage.model_dump(mode="json")
    found: Json = {"usage": {to_camel(name): value for name, value in usage.items()}}
    if task.agent is not None:
        found["agent"] = task.agent
    if task.capability is not None:
        found["capability"] = task.capability
    if task.reply is not None:
        found["scripted"] = bool(task.reply.metadata.get("scripted"))
    if task.error is not None:
        found["error"] = task.error.model_dump(mode="json", exclude_none=True, include={"code", "retryable", "hints"})
    return found
