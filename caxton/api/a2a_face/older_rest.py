"""Version 0.3 of the A2A protocol over HTTP+JSON: the same operations, whose paths and objects were others.

Objects are those of that version's Protocol Buffers, as the official clients send them: names may be in camel case or as in the
source, and a message has a `content` in place of parts.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from caxton.api.a2a_face.cards import for_version
from caxton.api.a2a_face.errors import MethodNotFound
from caxton.api.a2a_face.older import authentication_of
from caxton.api.a2a_face.operations import CALLS, FIND_OUT, STREAMS, open_stream
from caxton.api.a2a_face.rest import params_of
from caxton.api.a2a_face.rpc import LAST, STREAM_HEADERS, event_text, extension_header
from caxton.api.a2a_face.sending import check_target
from caxton.api.a2a_face.streams import Update
from caxton.api.a2a_face.tasks import Asking, Json
from caxton.api.sse import STILL_HERE, EventStream
from caxton.api.told_errors import AnyJson
from caxton.domain.errors import HttpVersionNotSupported

_PATH: Final = re.compile(r"(?:(?P<target>[^/]+)/)?v1/(?P<operation>.+)")

_OPERATIONS: Final[Mapping[tuple[str, str], str]] = {
    ("POST", r"message:send"): "SendMessage",
    ("POST", r"message:stream"): "SendStreamingMessage",
    ("GET", r"card"): "GetExtendedAgentCard",
    ("POST", r"tasks/(?P<id>[^/]+):cancel"): "CancelTask",
    ("GET", r"tasks/(?P<id>[^/]+):subscribe"): "SubscribeToTask",
    ("POST", r"tasks/(?P<id>[^/]+):subscribe"): "SubscribeToTask",
    ("GET", r"tasks/(?P<id>[^/:]+)"): "GetTask",
    ("POST", r"tasks/(?P<taskId>[^/]+)/pushNotificationConfigs"): "CreateTaskPushNotificationConfig",
    ("GET", r"tasks/(?P<taskId>[^/]+)/pushNotificationConfigs/(?P<id>[^/]+)"): "GetTaskPushNotificationConfig",
}
"""Operations by their paths, below the address of a workspace or of a target."""

_CANCELED: Final = ("TASK_STATE_CANCELED", "TASK_STATE_CANCELLED")
"""A state, as it is called now and was then."""


async def answer(request: Request, asking: Asking, path: str) -> Response:
    """Answers one operation.

    Args:
        request: the request.
        asking: who asks.
        path: of the request, below the address of this binding.

    Raises:
        CaxtonError: it cannot be done, or there is no such operation.
    """
    target, method, given = _operation(request.method, path)
    if method not in FIND_OUT:
        await check_target(asking, target)
    params = _upgraded(method, {**await params_of(request), **given})
    if method in STREAMS:
        if request.scope["http_version"] == "1.0":
            raise HttpVersionNotSupported("a stream cannot be told in HTTP/1.0", "use HTTP/1.1")
        events = await open_stream(method, asking, target, params, request.headers.get(LAST))
        return EventStream(_encoded(events), headers={**STREAM_HEADERS, **extension_header(asking)})
    result = await CALLS[method](asking, target, params)
    return AnyJson(_downgraded(method, result), headers=extension_header(asking))


def _operation(verb: str, path: str) -> tuple[str | None, str, dict[str, str]]:
    """The target, the operation and what its path says.

    Raises:
        MethodNotFound: there is none.
    """
    found = _PATH.fullmatch(path)
    if found is not None:
        for (wanted, pattern), method in _OPERATIONS.items():
            inside = re.fullmatch(pattern, found["operation"])
            if inside is not None and wanted == verb:
                return found["target"], method, inside.groupdict()
    raise MethodNotFound(
        f"version 0.3 has no operation {verb} /{path[:100]}", "see its specification for what there is"
    )


# --- what clients send -----------------------------------------------------------------------------------------------


def _upgraded(method: str, given: Json) -> Json:
    if method in ("SendMessage", "SendStreamingMessage"):
        return _sending(_camel(given))
    if method == "CreateTaskPushNotificationConfig":
        config = _camel(_object(_camel(given).get("config")))
        return {**_push(_camel(_object(config.get("pushNotificationConfig")))), "taskId": given["taskId"]}
    return given


def _sending(given: Json) -> Json:
    found: Json = {"metadata": given["metadata"]} if "metadata" in given else {}
    message = _camel(_object(given.get("message", given.get("request"))))
    parts = message.pop("content", None)
    upgraded = [_part(each) for each in cast("list[Any]", parts)] if isinstance(parts, list) else parts
    kept = {name: value for name, value in message.items() if value not in ("", None)}
    found["message"] = {**kept, "parts": upgraded}
    settings = _camel(_object(given.get("configuration")))
    known = {name: settings[name] for name in ("acceptedOutputModes", "historyLength") if settings.get(name)}
    if isinstance(settings.get("pushNotification"), dict):
        known["taskPushNotificationConfig"] = _push(_camel(_object(settings["pushNotification"])))
    # In JSON of Protocol Buffers what is false is left out.
    at_once = "configuration" in given and not settings.get("blocking")
    return {**found, "configuration": {**known, "returnImmediately": at_once}}


def _part(given: Any) -> Any:
    part = _camel(_object(given))
    if "text" in part:
        return {"text": part["text"]}
    if "data" in part:
        return {"data": _object(part["data"]).get("data")}
    if "file" in part:
        file = _camel(_object(part["file"]))
        held = {"raw": file["fileWithBytes"]} if "fileWithBytes" in file else {"url": file.get("fileWithUri")}
        return {**held, "filename": file.get("name"), "mediaType": file.get("mimeType")}
    return {}


def _push(given: Json) -> Json:
    found: Json = {name: given[name] for name in ("id", "url", "token") if given.get(name)}
    known = _camel(_object(given.get("authentication")))
    if known:
        found["authentication"] = authentication_of(known)
    return found


def _object(given: Any) -> Json:
    return cast("Json", given) if isinstance(given, dict) else {}


def _camel(given: Json) -> Json:
    """The same, with its own names in camel case."""
    return {to_camel(name): value for name, value in given.items()}


# --- what they are told ----------------------------------------------------------------------------------------------


def _downgraded(method: str, result: Json) -> Json:
    if method == "SendMessage":
        return {"task": _task(result["task"])}
    if method in ("GetTask", "CancelTask"):
        return _task(result)
    if method == "GetExtendedAgentCard":
        return for_version(result, "0.3")
    told = {name: value for name, value in result.items() if name in ("id", "url", "token")}
    if "authentication" in result:
        told["authentication"] = {"schemes": [result["authentication"]["scheme"]]}
    return {"name": f"tasks/{result['taskId']}/pushNotificationConfigs/{result['id']}", "pushNotificationConfig": told}


def _task(task: Json) -> Json:
    found = {**task, "status": _status(task["status"])}
    if "artifacts" in task:
        found["artifacts"] = [_artifact(each) for each in task["artifacts"]]
    if "history" in task:
        found["history"] = [_message(each) for each in task["history"]]
    return found


def _status(status: Json) -> Json:
    found = {**status, "state": _CANCELED[1] if status["state"] == _CANCELED[0] else status["state"]}
    if "message" in status:
        found["message"] = _message(status["message"])
    return found


def _message(message: Json) -> Json:
    found = {name: value for name, value in message.items() if name != "parts"}
    return {**found, "content": [_told_part(each) for each in message["parts"]]}


def _artifact(made: Json) -> Json:
    return {**made, "parts": [_told_part(each) for each in made["parts"]]}


def _told_part(part: Json) -> Json:
    if "text" in part:
        return {"text": part["text"]}
    if "data" in part:
        return {"data": {"data": part["data"]}}
    file = {"fileWithUri": part["url"], "name": part.get("filename"), "mimeType": part.get("mediaType")}
    return {"file": {name: value for name, value in file.items() if value is not None}}


def _told(update: Update) -> Json:
    [(kind, told)] = update.result.items()
    if kind == "task":
        return {"task": _task(told)}
    if kind == "statusUpdate":
        return {kind: {**told, "status": _status(told["status"]), "final": update.final}}
    return {kind: {**told, "artifact": _artifact(told["artifact"])}}


async def _encoded(events: AsyncGenerator[Update | None]) -> AsyncIterator[str]:
    async with aclosing(events):
        async for update in events:
            yield STILL_HERE if update is None else event_text(update, _told(update))
