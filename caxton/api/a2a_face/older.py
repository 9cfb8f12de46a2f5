"""Version 0.3 of the A2A protocol over JSON-RPC: the same operations, whose names and objects were others."""

from typing import Any, Final, cast

from caxton.api.a2a_face.cards import for_version
from caxton.api.a2a_face.errors import InvalidParams, UnsupportedOperation
from caxton.api.a2a_face.streams import Update
from caxton.api.a2a_face.tasks import Json

METHODS: Final = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
"""Operations by the names of their methods."""

_STATE: Final = "TASK_STATE_"


def upgraded(method: str, params: Any) -> Any:
    """Parameters of a method as version 1.0 has them.

    Raises:
        InvalidParams: they are no object.
    """
    if not isinstance(params, dict):
        raise InvalidParams('"params" is not an object')
    given = cast("Json", params)
    if method in ("message/send", "message/stream"):
        return _sending(given)
    if method == "tasks/pushNotificationConfig/set":
        return {**_push(given.get("pushNotificationConfig")), "taskId": given.get("taskId")}
    if method in ("tasks/pushNotificationConfig/get", "tasks/pushNotificationConfig/delete"):
        if not given.get("pushNotificationConfigId"):
            raise UnsupportedOperation("a task may have several configurations", "name one: pushNotificationConfigId")
        return {"taskId": given.get("id"), "id": given["pushNotificationConfigId"]}
    if method == "tasks/pushNotificationConfig/list":
        return {"taskId": given.get("id")}
    return given


def _sending(given: Json) -> Json:
    found: Json = {name: value for name, value in given.items() if name == "metadata"}
    message = given.get("message")
    if isinstance(message, dict):
        read = cast("Json", message)
        role = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}.get(str(read.get("role")), read.get("role"))
        parts = read.get("parts")
        upgraded_parts = [_part(each) for each in cast("list[Any]", parts)] if isinstance(parts, list) else parts
        found["message"] = {**read, "role": role, "parts": upgraded_parts}
    configuration = given.get("configuration")
    if isinstance(configuration, dict):
        read = cast("Json", configuration)
        kept = {name: read[name] for name in ("acceptedOutputModes", "historyLength") if read.get(name) is not None}
        push = read.get("pushNotificationConfig")
        if isinstance(push, dict):
            kept["taskPushNotificationConfig"] = _push(cast("Json", push))
        found["configuration"] = {**kept, "returnImmediately": read.get("blocking") is False}
    return found


def _part(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    part = cast("Json", given)
    kind = part.get("kind")
    if kind == "text":
        return {"text": part.get("text")}
    if kind == "data":
        return {"data": part.get("data")}
    if kind == "file" and isinstance(part.get("file"), dict):
        file: Json = part["file"]
        held = {"raw": file["bytes"]} if "bytes" in file else {"url": file.get("uri")}
        return {**held, "filename": file.get("name"), "mediaType": file.get("mimeType")}
    return {}


def _push(given: Any) -> Json:
    push = cast("Json", given) if isinstance(given, dict) else {}
    found: Json = {name: push[name] for name in ("id", "url", "token") if push.get(name) is not None}
    known = push.get("authentication")
    if isinstance(known, dict):
        found["authentication"] = authentication_of(cast("Json", known))
    return found


def authentication_of(known: Json) -> Json:
    """How a receiver knows who sends: of the schemes that there may be several of, the first one.

    Raises:
        InvalidParams: they are no list.
    """
    schemes: Any = known.get("schemes") or ["Bearer"]
    if not isinstance(schemes, list):
        raise InvalidParams("authentication.schemes of the push configuration is no list")
    return {"scheme": schemes[0], "credentials": known.get("credentials") or ""}


def downgraded(method: str, result: Json) -> Any:
    """The result of a method as version 0.3 has it."""
    if method == "message/send":
        return _task(result["task"])
    if method in ("tasks/get", "tasks/cancel"):
        return _task(result)
    if method == "agent/getAuthenticatedExtendedCard":
        return for_version(result, "0.3")
    if method == "tasks/pushNotificationConfig/list":
        return [_told_push(each) for each in result.get("configs", [])]
    if method == "tasks/pushNotificationConfig/delete":
        return None
    return _told_push(result)


def downgraded_update(update: Update) -> Json:
    """An event of a stream as version 0.3 has it."""
    [(kind, told)] = update.result.items()
    if kind == "task":
        return _task(told)
    if kind == "statusUpdate":
        return {**told, "kind": "status-update", "status": _status(told["status"]), "final": update.final}
    return {**told, "kind": "artifact-update", "artifact": _artifact(told["artifact"])}


def _task(task: Json) -> Json:
    found = {**task, "kind": "task", "status": _status(task["status"])}
    if "artifacts" in task:
        found["artifacts"] = [_artifact(each) for each in task["artifacts"]]
    if "history" in task:
        found["history"] = [_message(each) for each in task["history"]]
    return found


def _status(status: Json) -> Json:
    found = {**status, "state": status["state"].removeprefix(_STATE).lower().replace("_", "-")}
    if "message" in status:
        found["message"] = _message(status["message"])
    return found


def _message(message: Json) -> Json:
    role = "user" if message["role"] == "ROLE_USER" else "agent"
    return {**message, "kind": "message", "role": role, "parts": [_told_part(each) for each in message["parts"]]}


def _artifact(made: Json) -> Json:
    return {**made, "parts": [_told_part(each) for each in made["parts"]]}


def _told_part(part: Json) -> Json:
    if "text" in part:
        return {"kind": "text", "text": part["text"]}
    if "data" in part:
        return {"kind": "data", "data": part["data"]}
    file = {"uri": part["url"], "name": part.get("filename"), "mimeType": part.get("mediaType")}
    return {"kind": "file", "file": file}


def _told_push(config: Json) -> Json:
    told = {name: value for name, value in config.items() if name in ("id", "url", "token")}
    if "authentication" in config:
        known = config["authentication"]
        told["authentication"] = {"schemes": [known["scheme"]], "credentials": known.get("credentials")}
    return {"taskId": config["taskId"], "pushNotificationConfig": told}
