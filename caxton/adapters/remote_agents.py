"""Remote agents over the A2A protocol, version 1.0, by JSON-RPC: to their granted origin only, at checked addresses."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from caxton.adapters.mcp.access import access_of
from caxton.adapters.mcp.meter import Conceal, Meter, TooMuch
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.secrets import SECRETS, Secrets
from caxton.domain.errors import (
    InvalidInput,
    RemoteAgentFailed,
    RemoteAgentRefused,
    RemoteAgentTimeout,
    RemoteAgentUnavailable,
    RemoteAnswerInvalid,
)
from caxton.domain.origins import normal_origin
from caxton.domain.remote_agents import FUNCTION, Remote, RemoteMessage, RemoteTask
from caxton.domain.strict_json import read_json

if TYPE_CHECKING:
    import httpx2

CARD: Final = "/.well-known/agent-card.json"

LONGEST_ANSWER: Final = 16 << 20
"""Bytes of one answer."""

LONGEST_CONTEXT: Final = 500
"""Characters of a task's or a context's id."""

LONGEST_REFUSAL: Final = 500
"""Characters of why a remote agent refuses that are told."""

TASK_NOT_FOUND: Final = -32001
NOT_CANCELABLE: Final = -32002

PASSING: Final = frozenset({408, 425, 429})

Json = dict[str, Any]


class HttpRemoteAgents:
    """Reaches remote agents over HTTP."""

    def __init__(self, guard: Guard, secrets: Secrets = SECRETS) -> None:
        """Ask `guard` which addresses may be called; look variables up in `secrets`."""
        self._guard = guard
        self._secrets = secrets

    @asynccontextmanager
    async def open(self, remote: Remote) -> AsyncGenerator["_Session"]:
        """A session; see :class:`caxton.domain.remote_agents.RemoteAgents`."""
        import httpx2

        from caxton.adapters.mcp.http import GuardedTransport

        manifest = remote.version.manifest
        subject = Subject(manifest.name, FUNCTION, manifest.limits, is_agent=True)
        access = access_of(subject, manifest, remote.rights, self._guard, self._secrets)
        assert access.server.origin is not None
        meter = Meter(LONGEST_ANSWER)
        transport = GuardedTransport(access.server.origin, self._guard.check_address, meter)
        timeout = httpx2.Timeout(remote.agent.request_timeout, connect=min(10.0, remote.agent.request_timeout))
        headers = {"User-Agent": "caxton", "A2A-Version": "1.0", **access.headers}
        async with httpx2.AsyncClient(transport=transport, headers=headers, timeout=timeout, trust_env=False) as client:
            session = _Session(remote, client, meter, Conceal(access.secrets))
            await session.find()
            yield session


class _Session:
    """Calls one remote agent."""

    def __init__(self, remote: Remote, client: "httpx2.AsyncClient", meter: Meter, conceal: Conceal) -> None:
        self._remote = remote
        self._name = remote.version.manifest.name
        self._client = client
        self._meter = meter
        self._conceal = conceal
        self._address = remote.agent.url
        self._tenant: str | None = None

    async def find(self) -> None:
        """Reads the card, which says where JSON-RPC goes."""
        base = self._remote.agent.url.rstrip("/")
        status, card = await self._request("GET", base if base.endswith(".json") else f"{base}{CARD}", None)
        if status >= 400 or not isinstance(card, dict):
            raise RemoteAgentRefused(
                f'the remote agent "{self._name}" has no card: {status}',
                "url in [a2a] is the address below which /.well-known/agent-card.json is",
                details=self._details(status=status),
            )
        found: Any = cast("Json", card).get("supportedInterfaces")
        interfaces = [cast("Json", each) for each in cast("list[Any]", found or []) if isinstance(each, dict)]
        for each in interfaces:
            version = str(each.get("protocolVersion", ""))
            if each.get("protocolBinding") == "JSONRPC" and version.partition(".")[0] == "1":
                self._use(str(each.get("url", "")), each.get("tenant"))
                return
        raise RemoteAgentRefused(
            f'the remote agent "{self._name}" does not speak JSON-RPC of A2A 1.0', details=self._details()
        )

    def _use(self, url: str, tenant: Any) -> None:
        parts = urlsplit(url)
        try:
            origin = normal_origin(f"{parts.scheme}://{parts.netloc}")
        except ValueError:
            origin = ""
        if origin != self._remote.agent.server.origin:
            raise RemoteAgentRefused(
                f'the card of the remote agent "{self._name}" names another origin: {origin[:200] or "none"}',
                "name that one as url in [a2a], if it is the agent's own",
                details=self._details(),
            )
        self._address, self._tenant = url, tenant if isinstance(tenant, str) and tenant else None

    async def send(self, message: RemoteMessage) -> RemoteTask:
        """Sends a message, and returns without waiting for its task."""
        part: Json = {"text": message.text} if message.data is None else {"data": message.data}
        told: Json = {"messageId": message.id, "role": "ROLE_USER", "parts": [part]}
        told |= {name: value for name, value in (("contextId", message.context), ("taskId", message.task)) if value}
        if self._remote.agent.skill:
            told["metadata"] = {"skill": self._remote.agent.skill}
        params: Json = {"message": told, "configuration": {"returnImmediately": True}}
        result = await self._call("SendMessage", params)
        if isinstance(result.get("message"), dict):
            said = cast("Json", result["message"])
            context = _context(said.get("contextId"))
            return RemoteTask(None, context, "TASK_STATE_COMPLETED", self._conceal.text(_text(said.get("parts"))))
        return self._task(result.get("task"))

    async def get(self, task_id: str) -> RemoteTask:
        """A task as it stands."""
        return self._task(await self._call("GetTask", {"id": task_id, "historyLength": 0}))

    async def cancel(self, task_id: str) -> None:
        """Asks to end a task."""
        await self._call("CancelTask", {"id": task_id}, taken=(TASK_NOT_FOUND, NOT_CANCELABLE))

    async def _call(self, method: str, params: Json, taken: tuple[int, ...] = ()) -> Json:
        if self._tenant is not None:
            params = {**params, "tenant": self._tenant}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        status, answer = await self._request("POST", self._address, body)
        if not isinstance(answer, dict):
            raise self._invalid(f"it answered {status} without an object")
        read = cast("Json", answer)
        if status >= 400:
            raise RemoteAgentRefused(
                f'the remote agent "{self._name}" answered {status}: {self._reason(read)}',
                details=self._details(status=status),
            )
        error: Any = read.get("error")
        if isinstance(error, dict):
            code: Any = cast("Json", error).get("code")
            if code in taken:
                return {}
            kind = RemoteAgentFailed if code == TASK_NOT_FOUND else RemoteAgentRefused
            details = self._details(code=code)
            raise kind(f'the remote agent "{self._name}" refuses: {self._reason(read)}', details=details)
        result: Any = read.get("result")
        if not isinstance(result, dict):
            raise self._invalid("its answer has no result")
        return cast("Json", result)

    async def _request(self, verb: str, url: str, body: Json | None) -> tuple[int, Any]:
        import httpx2

        self._meter.begin()
        try:
            response = await self._client.request(verb, url, json=body)
        except httpx2.TimeoutException:
            seconds = self._remote.agent.request_timeout
            raise RemoteAgentTimeout(
                f'the remote agent "{self._name}" has not answered a request within {seconds:g} s',
                details=self._details(),
            ) from None
        except TooMuch:
            raise self._invalid("its answer is larger than it may be") from None
        except httpx2.HTTPError as error:
            why = self._conceal.text(str(error))[:LONGEST_REFUSAL] or type(error).__name__
            raise RemoteAgentUnavailable(
                f'the remote agent "{self._name}" cannot be reached: {why}', details=self._details()
            ) from None
        status = response.status_code
        if status >= 500 or status in PASSING:
            raise RemoteAgentUnavailable(
                f'the remote agent "{self._name}" answered {status}', details=self._details(status=status)
            )
        try:
            return status, read_json(response.content, "the answer") if response.content else None
        except InvalidInput as error:
            if status >= 400:
                return status, {}
            raise self._invalid(error.message) from None

    def _task(self, given: Any) -> RemoteTask:
        task = cast("Json", given) if isinstance(given, dict) else {}
        status: Any = task.get("status")
        state: Any = cast("Json", status).get("state") if isinstance(status, dict) else None
        identity, context = task.get("id"), task.get("contextId")
        if (
            not isinstance(identity, str)
            or not identity
            or len(identity) > LONGEST_CONTEXT
            or not isinstance(state, str)
        ):
            raise self._invalid("it answered with no task")
        artifacts: Any = task.get("artifacts")
        pieces = [_text(each.get("parts")) for each in cast("list[Any]", artifacts or []) if isinstance(each, dict)]
        text = "\n\n".join(piece for piece in pieces if piece)
        said: Any = cast("Json", status).get("message")
        if not text and isinstance(said, dict):
            text = _text(cast("Json", said).get("parts"))
        return RemoteTask(identity, _context(context), state, self._conceal.text(text))

    def _reason(self, answer: Json) -> str:
        error: Any = answer.get("error")
        found: Any = cast("Json", error).get("message") if isinstance(error, dict) else None
        return self._conceal.text(found[:LONGEST_REFUSAL]) if isinstance(found, str) else "it does not say why"

    def _invalid(self, why: str) -> RemoteAnswerInvalid:
        return RemoteAnswerInvalid(
            f'the answer of the remote agent "{self._name}" is not A2A: {why}', details=self._details()
        )

    def _details(self, **more: Any) -> Json:
        return {"agent": self._name, **more}


def _context(given: Any) -> str | None:
    """A context that may be kept."""
    return given if isinstance(given, str) and len(given) <= LONGEST_CONTEXT else None


def _text(parts: Any) -> str:
    """The texts of parts, and data as JSON; of files the addresses."""
    found: list[str] = []
    for part in cast("list[Any]", parts) if isinstance(parts, list) else []:
        if not isinstance(part, dict):
            continue
        read = cast("Json", part)
        if isinstance(read.get("text"), str):
            found.append(read["text"])
        elif "data" in read:
            found.append(json.dumps(read["data"], ensure_ascii=False, separators=(",", ":")))
        elif isinstance(read.get("url"), str):
            found.append(f"[{read.get('filename') or 'file'}]({read['url']})")
    return "\n\n".join(found)
