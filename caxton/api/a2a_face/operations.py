"""The operations of the A2A protocol, by their names in JSON-RPC: what they need, and what does them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from caxton.api.a2a_face.bodies import (
    CardQuery,
    ListPush,
    ListTasks,
    PushConfig,
    PushQuery,
    SendMessage,
    TaskQuery,
    read_body,
)
from caxton.api.a2a_face.cards import target_card, workspace_card
from caxton.api.a2a_face.errors import InvalidParams
from caxton.api.a2a_face.push import create_push, delete_push, get_push, list_push
from caxton.api.a2a_face.sending import begin, check_target, send_message
from caxton.api.a2a_face.streams import Update, subscribe, updates
from caxton.api.a2a_face.tasks import Asking, Json, cancel_task, get_task, list_tasks, task_found
from caxton.domain.permissions import Permission
from caxton.views.a2a import TaskState

Call = Callable[[Asking, str | None, Any], Awaitable[Json]]
Updates = AsyncGenerator[Update | None]


async def _message(asking: Asking, target: str | None, params: Any) -> SendMessage:
    """A message. That there is nobody of this name is told before what is wrong with it."""
    try:
        return read_body(SendMessage, params)
    except InvalidParams:
        await check_target(asking, target)
        raise


async def _send(asking: Asking, target: str | None, params: Any) -> Json:
    request = await _message(asking, target, params)
    return await send_message(asking, target or request.tenant, request)


async def _get(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await get_task(asking, read_body(TaskQuery, params))


async def _list(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await list_tasks(asking, read_body(ListTasks, params))


async def _cancel(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await cancel_task(asking, read_body(TaskQuery, params))


async def _card(asking: Asking, target: str | None, params: Any) -> Json:
    asking.caller.require(Permission.AGENTS_READ)
    wanted = target or read_body(CardQuery, params).tenant
    if wanted:
        return await target_card(asking.caller, asking.services, asking.base, wanted)
    return await workspace_card(asking.caller, asking.services, asking.base)


async def _create_push(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await create_push(asking, read_body(PushConfig, params))


async def _get_push(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await get_push(asking, read_body(PushQuery, params))


async def _list_push(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await list_push(asking, read_body(ListPush, params))


async def _delete_push(asking: Asking, target: str | None, params: Any) -> Json:  # noqa: ARG001
    return await delete_push(asking, read_body(PushQuery, params))


CALLS: Final[dict[str, Call]] = {
    "SendMessage": _send,
    "GetTask": _get,
    "ListTasks": _list,
    "CancelTask": _cancel,
    "GetExtendedAgentCard": _card,
    "CreateTaskPushNotificationConfig": _create_push,
    "GetTaskPushNotificationConfig": _get_push,
    "ListTaskPushNotificationConfigs": _list_push,
    "DeleteTaskPushNotificationConfig": _delete_push,
}
"""Operations with one answer."""

STREAMS: Final = frozenset({"SendStreamingMessage", "SubscribeToTask"})

FIND_OUT: Final = frozenset({"SendMessage", "SendStreamingMessage"})
"""Operations that find out themselves whether there is somebody of the name that an address has."""


async def open_stream(method: str, asking: Asking, target: str | None, params: Any, last: str | None) -> Updates:
    """The events of a streaming operation; what is wrong with it is told before the first one.

    Args:
        method: `SendStreamingMessage` or `SubscribeToTask`.
        asking: who asks.
        target: whom the address names.
        params: of the operation.
        last: position of the last event that the client has.

    Raises:
        CaxtonError: it cannot be done.
    """
    if method == "SubscribeToTask":
        return await subscribe(asking, read_body(TaskQuery, params).id, last)
    request = await _message(asking, target, params)
    turn = (await begin(asking, target or request.tenant, request, wait=None)).turn
    asking = asking.with_modes(request.settings.accepted_output_modes)
    task = await task_found(asking, turn.execution_id)
    if task.has_ended:  # so quickly, or long ago: it is told like any other, from its beginning
        task = replace(task, state=TaskState.SUBMITTED, since=task.asked_at, error=None, reply=None)
    return updates(asking, task, None, until_asked=True, history=request.settings.history_length)
