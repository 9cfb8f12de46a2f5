"""Configurations of push notifications, as the A2A protocol has them."""

from caxton.api.a2a_face.bodies import ListPush, PushConfig, PushQuery
from caxton.api.a2a_face.errors import InvalidParams, PushNotSupported, TaskNotFound
from caxton.api.a2a_face.tasks import Asking, Json, task_found
from caxton.domain import push
from caxton.domain.ids import ExecutionId, new_id
from caxton.domain.permissions import Permission


async def create_push(asking: Asking, given: PushConfig) -> Json:
    """`CreateTaskPushNotificationConfig`. One with the id of another one takes its place.

    Raises:
        TaskNotFound: there is no such task.
        PushNotSupported: the server pushes nothing.
        InvalidInput: nothing may be pushed to that address.
    """
    if not given.task_id:
        raise InvalidParams("taskId: the task is not named")
    task_id = await _task(asking, given.task_id)
    return await put_push(asking, task_id, given)


async def put_push(asking: Asking, task_id: ExecutionId, given: PushConfig) -> Json:
    """Keeps a configuration of a task that there is; errors as for :func:`create_push`."""
    _check(asking)
    known = given.authentication
    config = push.PushConfig(
        id=given.id or new_id("push"),
        url=given.url,
        token=given.token or "",
        principal=asking.caller.principal,
        scheme=known.scheme if known else "",
        credentials=known.credentials if known else "",
    )
    await asking.services.push.put(asking.caller, task_id, config)
    return _json(asking, task_id, config)


def check_push(asking: Asking, given: PushConfig) -> None:
    """Refuses, before a message is accepted, a configuration that could not be kept.

    Raises:
        PushNotSupported: the server pushes nothing.
        InvalidParams: nothing may be pushed to that address.
    """
    _check(asking)
    problem = asking.services.push.policy.problem(given.url)
    if problem is not None:
        raise InvalidParams(
            f"nothing can be pushed to this address: {problem}",
            "an operator names its origin: push_origins in [a2a] of the server's caxton.toml",
            details={"problems": [{"path": "taskPushNotificationConfig.url", "message": problem}]},
        )


async def get_push(asking: Asking, query: PushQuery) -> Json:
    """`GetTaskPushNotificationConfig`.

    Raises:
        TaskNotFound: there is no such task, or configuration.
    """
    task_id = await _task(asking, query.task_id)
    found = await asking.services.push.list_configs(asking.caller.scope, task_id)
    config = next((each for each in found if each.id == query.id), None)
    if config is None:
        raise TaskNotFound(f'the task has no push configuration "{query.id[:100]}"', details={"taskId": task_id})
    return _json(asking, task_id, config)


async def list_push(asking: Asking, query: ListPush) -> Json:
    """`ListTaskPushNotificationConfigs`: all of them, for there are few.

    Raises:
        TaskNotFound: there is no such task.
    """
    task_id = await _task(asking, query.task_id)
    found = await asking.services.push.list_configs(asking.caller.scope, task_id)
    return {"configs": [_json(asking, task_id, config) for config in found], "nextPageToken": ""}


async def delete_push(asking: Asking, query: PushQuery) -> Json:
    """`DeleteTaskPushNotificationConfig`; doing it again changes nothing.

    Raises:
        TaskNotFound: there is no such task.
    """
    task_id = await _task(asking, query.task_id)
    await asking.services.push.remove(asking.caller, task_id, query.id)
    return {}


async def _task(asking: Asking, task_id: str) -> ExecutionId:
    asking.caller.require(Permission.MESSAGES_SEND)
    found = await task_found(asking, task_id)
    _check(asking)
    return found.id


def _check(asking: Asking) -> None:
    if not asking.services.push.policy.allows_any:
        raise PushNotSupported("this server sends no push notifications", "subscribe to the task, or get it again")


def _json(asking: Asking, task_id: ExecutionId, config: push.PushConfig) -> Json:
    """A configuration. What the receiver knows the sender by is told to nobody again but the token, to the client whose it is:
    deliveries may be signed with it."""
    found: Json = {"id": config.id, "taskId": task_id, "url": config.url}
    if config.token and config.principal == asking.caller.principal:
        found["token"] = config.token
    if config.scheme:
        found["authentication"] = {"scheme": config.scheme}
    return found
