"""MCP over standard input and output: a bridge to the server's own MCP face, which has all the knowledge.

Messages pass as they are. The bridge adds what belongs to HTTP (the key, headers, the session), and sends a request again when
the connection was lost: the server does its work once.
"""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, cast

import httpx

from caxton.client.discovery import Connection
from caxton.client.failures import Attempts, unreachable
from caxton.client.lines import LineSplitter
from caxton.client.sse import EventParser
from caxton.domain.errors import CaxtonError
from caxton.domain.json_text import json_line
from caxton.domain.surroundings import client_options

PATH: Final = "/mcp"
SILENCE: Final = 60.0
"""Seconds without a byte after which an answer is taken for lost; the server says each few seconds that it is there."""

LAST_ANSWERS: Final = 1.5
"""Seconds that answers may still take when the client has closed its end."""

_META: Final = "io.modelcontextprotocol/protocolVersion"
_KEY: Final = "caxton/idempotency-key"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PLAIN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_INTERNAL_ERROR: Final = -32603
_PARSE_ERROR: Final = -32700

Message = dict[str, Any]


class Bridge:
    """Passes messages between one client and the server."""

    def __init__(self, connection: Connection, write: Callable[[str], None], *, patience: float = 30.0) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            connection: where to and as whom.
            write: takes each line for the client.
            patience: seconds for which a request is sent again after the connection was lost.

        Raises:
            InvalidSettings: the environment names a proxy or certificates that cannot be used.
        """
        self._connection = connection
        self._write = write
        self._patience = patience
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), **client_options(connection.url))
        self._begin: Message | None = None
        """What the client began with, to begin again if the server has lost it."""
        self._session: str | None = None
        self._version: str | None = None
        self._has_answered = False
        self._under_way = dict[str, asyncio.Task[None]]()

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Passes messages until the client closes its end."""
        async with self._http:
            async for line in lines:
                if line.strip():
                    await self._take(line)
            if self._under_way:
                await asyncio.wait(self._under_way.values(), timeout=LAST_ANSWERS)
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _take(self, line: bytes) -> None:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            self._fail(None, _PARSE_ERROR, "the line is not JSON")
            return
        message = cast("Message", found) if isinstance(found, dict) else None
        if message is None:
            self._fail(None, -32600, "each line is one message: an object")
            return
        if message.get("method") == "initialize":
            self._begin, self._session = message, None
            await self._pass_on(message)  # what comes next needs the session
        elif "id" in message and not {"method", "result", "error"} & message.keys():
            self._fail(message["id"], -32600, "a request names its method")
        elif "id" in message and "method" in message:
            self._start(json.dumps(message["id"]), message)
        elif message.get("method") == "notifications/cancelled" and self._stop(message):
            return
        else:
            self._start(f"note {secrets.token_hex(8)}", message)

    def _start(self, name: str, message: Message) -> None:
        task = asyncio.create_task(self._pass_on(message))
        self._under_way[name] = task
        task.add_done_callback(lambda _: self._under_way.pop(name, None))

    def _stop(self, message: Message) -> bool:
        """Cancels a request of 2026-07-28, whose stream is closed for that. Older ones are cancelled by the message itself."""
        params = message.get("params")
        request = cast("Message", params).get("requestId") if isinstance(params, dict) else None
        task = self._under_way.get(json.dumps(request))
        if task is None or self._version is not None:
            return False
        task.cancel()
        return True

    async def _pass_on(self, message: Message) -> None:
        """Sends a message, and tells the client what comes of it."""
        identity = message.get("id") if "method" in message else None
        attempts, has_begun_again = Attempts(self._patience), False
        message = _repeatable(message)
        if self._has_answered:
            attempts.succeeded()  # it was there, and comes back
        while True:
            try:
                status = await self._post(message)
            except httpx.HTTPError as error:
                pause = attempts.after_loss(error)
                if pause is None:
                    self._tell(identity, unreachable(self._connection, error))
                    return
                await asyncio.sleep(pause)
            except CaxtonError as error:
                self._tell(identity, error)
                return
            else:
                self._has_answered = True
                if status != 404 or has_begun_again or not await self._begin_again():
                    return
                has_begun_again = True

    async def _post(self, message: Message) -> int:
        """Sends a message once, and writes what is answered. Of a lost session nothing is written.

        Returns:
            The HTTP status.

        Raises:
            httpx.HTTPError: the connection was lost.
        """
        session = self._session
        async with self._http.stream(
            "POST",
            f"{self._connection.url}{PATH}",
            json=message,
            headers=self._headers(message),
            timeout=httpx.Timeout(SILENCE, connect=5.0),
        ) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                await self._pass_back(response, message)
                return response.status_code
            body = await response.aread()
            if response.status_code == 404 and session is not None and "method" in message:
                return 404
            if response.status_code == 202:
                return 202
            self._read_answer(message, response, body)
            return response.status_code

    def _read_answer(self, message: Message, response: httpx.Response, body: bytes) -> None:
        try:
            found = json.loads(body)
            answer = cast("Message", found) if isinstance(found, dict) and "jsonrpc" in found else None
        except ValueError:
            answer = None
        if answer is None:
            raise unreachable(self._connection, None).with_hint(
                f"something answered with status {response.status_code} that is no Caxton server"
            )
        if message.get("method") == "initialize" and "result" in answer:
            self._session = response.headers.get("mcp-session-id")
            self._version = str(answer["result"].get("protocolVersion"))
        if "id" not in message or "method" not in message:
            return  # nobody waits for what comes of it
        self._write(json_line({**answer, "id": message["id"]}))

    async def _pass_back(self, response: httpx.Response, message: Message) -> None:
        """Writes the messages of a stream.

        Raises:
            httpx.HTTPError: it broke off before the answer.
        """
        splitter, parser = LineSplitter(events=True), EventParser()
        async for block in response.aiter_bytes():
            for line in splitter.feed(block):
                event = parser.feed(line)
                if event is None:
                    continue
                if event.kind == "error":  # the key has ended, for example
                    raise event.error()
                self._write(json_line(event.data))
                if event.data.get("id") == message.get("id") and "method" not in event.data:
                    return
        raise httpx.RemoteProtocolError("the stream ended before the answer")

    async def _begin_again(self) -> bool:
        """Begins again with a server that does not know the session; False where the client has not begun."""
        if self._begin is None:
            return False
        self._session = None
        begin = {**self._begin, "id": f"again-{secrets.token_hex(4)}"}
        answer = await self._http.post(
            f"{self._connection.url}{PATH}", json=begin, headers=self._headers(begin), timeout=SILENCE
        )
        self._session = answer.headers.get("mcp-session-id")
        return self._session is not None

    def _headers(self, message: Message) -> Mapping[str, str]:
        headers = {
            "Accept": "application/json, text/event-stream",
            "X-Caxton-Workspace": self._connection.workspace,
            "X-Caxton-Channel": "mcp",
        }
        if self._connection.api_key:
            headers["Authorization"] = f"Bearer {self._connection.api_key}"
        params = message.get("params")
        given = cast("Message", params) if isinstance(params, dict) else {}
        meta = given.get("_meta")
        modern = cast("Message", meta).get(_META) if isinstance(meta, dict) else None
        if isinstance(modern, str):
            method = str(message.get("method"))
            headers |= {"MCP-Protocol-Version": _header(modern), "Mcp-Method": _header(method)}
            name = given.get(_NAMED.get(method, "taskId" if method.startswith("tasks/") else ""))
            if isinstance(name, str):
                headers["Mcp-Name"] = _header(name)
            return headers
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        if self._version is not None:
            headers["MCP-Protocol-Version"] = self._version
        return headers

    def _tell(self, identity: Any, error: CaxtonError) -> None:
        """Tells the client of an error; of one that nobody waits for, nothing."""
        if identity is None:
            return
        hints = "; ".join(hint.text + (f" ({hint.command})" if hint.command else "") for hint in error.hints)
        self._fail(identity, _INTERNAL_ERROR, f"{error.message}. {hints}" if hints else error.message)

    def _fail(self, identity: Any, code: int, text: str) -> None:
        self._write(json_line({"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": text}}))


def _repeatable(message: Message) -> Message:
    """A message that may be sent again: a request of 2026-07-28 with a key, for in a session its id is one."""
    if message.get("method") != "tools/call" or not isinstance(message.get("params"), dict):
        return message
    params = cast("Message", message["params"])
    meta = params.get("_meta")
    if not isinstance(meta, dict) or _META not in meta or _KEY in meta or "requestState" in params:
        return message
    keyed = {**cast("Message", meta), _KEY: f"bridge-{secrets.token_hex(16)}"}
    return {**message, "params": {**params, "_meta": keyed}}


def _header(value: str) -> str:
    """A value as a header can carry it."""
    if _PLAIN.fullmatch(value) and not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="
