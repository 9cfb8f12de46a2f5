"""Tools that are ordinary MCP servers: the port `ToolSandbox` over connections to them."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeVar

from caxton.adapters.mcp import connection as connections
from caxton.adapters.mcp.access import Access, access_of
from caxton.adapters.mcp.asking import NOBODY_TO_ASK
from caxton.adapters.mcp.connection import Answered, Connection
from caxton.adapters.mcp.loop import LoopThread
from caxton.adapters.mcp.pool import Full, Key, Pool
from caxton.adapters.sandbox import limits
from caxton.adapters.sandbox.checks import SchemaChecks, check_schemas, validate_arguments, validate_structured
from caxton.adapters.sandbox.granting import explain_limit
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.sandbox.results import parse_call_result
from caxton.adapters.secrets import SECRETS, Secrets
from caxton.domain.errors import (
    Hint,
    InvalidModule,
    ToolError,
    ToolInputInvalid,
    ToolSurfaceChanged,
    ToolTimeout,
    ToolUnavailable,
    ToolUnreachable,
)
from caxton.domain.extras import require
from caxton.domain.grants import NOTHING, Rights, granted_limits, missing
from caxton.domain.json_schemas import Malformed
from caxton.domain.quantities import format_duration
from caxton.domain.questions import Answer
from caxton.domain.surfaces import chosen, differences, surface_of, told
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion
from caxton.domain.usage import ToolUsage

CLOSE_WITHIN: Final = 10.0
"""Seconds that a process which ends gives its servers to end."""

T = TypeVar("T")

_LIST: Final = "tools/list"


@dataclass(frozen=True)
class _Answer:
    """What a call brought, or why it brought nothing; with what the server logged."""

    told: Answered
    log: tuple[str, ...] = ()


class McpServers:
    """Calls functions of ordinary MCP servers, over connections that are kept."""

    def __init__(self, guard: Guard, idle: float, secrets: Secrets = SECRETS) -> None:
        """Prepare it; nothing is imported or connected before the first server is used.

        Args:
            guard: knows what no tool gets.
            idle: seconds after which a connection that nobody uses is closed.
            secrets: looks variables up.
        """
        self._guard = guard
        self._idle = idle
        self._secrets = secrets
        self._loop = LoopThread("mcp-servers")
        self._pool: Pool | None = None
        self._checks: SchemaChecks | None = None

    def close(self) -> None:
        """Ends all connections, and the servers that are child processes."""

        async def end() -> None:
            if self._pool is not None:
                await self._pool.close()

        self._loop.close(end, CLOSE_WITHIN)
        if self._checks is not None:
            self._checks.close()

    async def describe(self, customer: str, manifest: ToolManifest, rights: Rights = NOTHING) -> list[ToolFunction]:
        """What a server offers now, of what its manifest lets agents have.

        Raises:
            ToolError: it cannot be reached or asked, or what it needs is not granted.
            InvalidModule: what it says of its functions cannot be used.
        """
        subject = self._subject(manifest, _LIST, rights)
        access = self._access(subject, manifest, rights)

        async def ask() -> list[ToolFunction]:
            async with self._connections().one(access, subject.limits.message_size) as made:
                return made.functions

        functions = chosen(access.server, await self._opened(subject, access, ask))
        lacking = sorted(set(access.server.functions) - {each.name for each in functions})
        if lacking:
            raise InvalidModule(
                f"the server has no function {', '.join(lacking[:10])}, which mcp_server.functions names"
            )
        if self._checks is None:
            self._checks = SchemaChecks()
        for function in functions:
            await check_schemas(self._checks, customer, function)
        return functions

    async def check(self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any]) -> None:
        """As :meth:`caxton.domain.ports.ToolSandbox.check`."""
        subject = self._subject(tool.manifest, function, NOTHING)
        await self._check(customer, subject, tool, arguments)

    async def call(
        self,
        customer: str,
        tool: ToolVersion,
        function: str,
        arguments: Mapping[str, Any],
        *,
        workspace: str = "",
        rights: Rights = NOTHING,
        answers: Sequence[Answer] | None = None,
    ) -> ToolResult:
        """Calls a function of a server, if it still offers what it did when it was deployed.

        Args:
            customer: who calls. No two customers, and no two workspaces of one, use one connection.
            tool: the version that was deployed, with the functions that its server offered then.
            function: one of them.
            arguments: a JSON object.
            workspace: the workspace of the call.
            rights: what the call is granted.
            answers: to what the server asks people; None: nobody can be asked.

        Raises:
            ToolError: a subclass for each way in which it fails. A failure that the server itself reports is none: the result
                has `is_error` set.
        """
        subject = self._subject(tool.manifest, function, rights)
        described = await self._check(customer, subject, tool, arguments)
        access = self._access(subject, tool.manifest, rights)
        key: Key = (customer, workspace, tool.digest, access.key)
        began = time.perf_counter()
        try:
            answer = await self._answer(key, subject, access, tool, arguments, answers)
            result = await self._result(customer, subject, described, answer)
        except ToolError as error:
            error.usage = error.usage or _usage(began)
            explain_limit(error, tool.manifest, missing(tool.manifest, rights, self._guard.base))
            raise
        return result.model_copy(update={"usage": _usage(began)})

    # --- what is asked -----------------------------------------------------------------------------------------------

    async def _answer(
        self,
        key: Key,
        subject: Subject,
        access: Access,
        tool: ToolVersion,
        arguments: Mapping[str, Any],
        answers: Sequence[Answer] | None,
    ) -> _Answer:
        wall_time = subject.limits.wall_time
        idle = min(wall_time, access.server.idle_timeout or wall_time)
        for attempt in (1, 2):
            made = await self._connected(key, subject, access)
            _check_surface(subject, tool, chosen(access.server, made.functions))
            try:
                ask = partial(made.call, subject.function, arguments, idle, wall_time, answers)
                return _Answer(await self._loop.run(ask))
            except connections.Forgotten as error:
                if attempt == 2:
                    raise _unreachable(subject, access, str(error), made) from None
            except connections.Lost as error:
                raise _unreachable(subject, access, str(error), made) from None
            except connections.Silent:
                raise _silent(subject, access, idle, wall_time, made) from None
            except connections.Excessive:
                raise _logged(limits.message_too_large(subject, "result"), made) from None
            except Malformed as error:
                raise _logged(limits.answer_invalid(subject, str(error)), made) from None
            except connections.ErrorAnswered as error:
                failed = {"content": [{"type": "text", "text": str(error)}], "isError": True}
                return _Answer(Answered(failed), made.log.lines)
        raise AssertionError("the second attempt ends")

    async def _connected(self, key: Key, subject: Subject, access: Access) -> Connection:
        """A connection whose server has told lately what it offers."""

        async def get() -> Connection:
            try:
                made = await self._connections().get(key, access, subject.limits.message_size)
                await made.current()
            except connections.Lost:  # of an earlier call, and its server was started over
                made = await self._connections().get(key, access, subject.limits.message_size)
                await made.current()
            return made

        return await self._opened(subject, access, get)

    async def _opened(self, subject: Subject, access: Access, make: Callable[[], Awaitable[T]]) -> T:
        """Has something done that connects. The time that the SDK takes to load does not count."""
        await self._load()
        within = access.server.connect_timeout

        async def work() -> T:
            async with asyncio.timeout(within):
                return await make()

        try:
            return await self._loop.run(work)
        except TimeoutError:
            raise _unreachable(subject, access, f"it did not answer within {format_duration(within)}") from None
        except Full:
            raise ToolUnavailable(
                "there are too many connections to MCP servers, and all are in use",
                "try again in a moment",
                details=subject.details(),
            ) from None
        except connections.Excessive:
            raise _unreachable(subject, access, "it says more than it may before it is asked anything") from None
        except connections.Lost as error:
            raise _unreachable(subject, access, str(error)) from None
        except connections.ErrorAnswered as error:
            raise _unreachable(subject, access, f"it refused to tell its functions: {error}") from None
        except Malformed as error:
            raise limits.answer_invalid(Subject(subject.tool, _LIST, subject.limits), str(error)) from None

    async def _load(self) -> None:
        """Imports what the SDK is made of."""
        require("mcp")

        async def load() -> None:
            import_module("mcp.client.client")
            import_module("mcp.client.streamable_http")

            # What servers send is no business of this server's log, and may hold anything.
            for name in ("mcp", "client"):
                logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger("mcp").propagate = False

        if not self._loop.began:
            await self._loop.run(load)

    def _connections(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(self._guard.check_address, self._idle)
        return self._pool

    # --- before and after --------------------------------------------------------------------------------------------

    def _subject(self, manifest: ToolManifest, function: str, rights: Rights) -> Subject:
        return Subject(manifest.name, function, self._guard.limits(granted_limits(manifest, rights, self._guard.base)))

    def _access(self, subject: Subject, manifest: ToolManifest, rights: Rights) -> Access:
        return access_of(subject, manifest, rights, self._guard, self._secrets)

    async def _check(
        self, customer: str, subject: Subject, tool: ToolVersion, arguments: Mapping[str, Any]
    ) -> ToolFunction:
        described = tool.function(subject.function)
        if described is None:
            raise ToolUnavailable(f'"{tool.name}" has no function "{subject.function}"', details=subject.details())
        try:
            size = len(json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False).encode())
        except (TypeError, ValueError, RecursionError):
            raise ToolInputInvalid(f"the arguments of {subject.name} are not JSON", details=subject.details()) from None
        if size > subject.limits.message_size:
            raise limits.message_too_large(subject, "arguments", size)
        if self._checks is None:
            self._checks = SchemaChecks()
        await validate_arguments(self._checks, customer, tool.name, described, arguments)
        return described

    async def _result(self, customer: str, subject: Subject, described: ToolFunction, answer: _Answer) -> ToolResult:
        raw, declined = answer.told.raw, list(answer.told.declined)
        if answer.told.question is not None:
            return ToolResult(question=answer.told.question)
        if raw.get("resultType") == "input_required":
            text = f"the server wants to ask a person, and {NOBODY_TO_ASK}"
            return ToolResult(content=[{"type": "text", "text": text}], is_error=True, declined=declined or ["form"])
        size = len(json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
        if size > subject.limits.message_size:
            raise limits.message_too_large(subject, "result", size)
        try:
            content, structured, is_error = parse_call_result(raw)
        except Malformed as error:
            raise limits.answer_invalid(subject, str(error)) from None
        if not is_error:
            assert self._checks is not None
            await validate_structured(self._checks, customer, subject.tool, described, structured)
        log = list(answer.log)
        return ToolResult(content=content, structured=structured, is_error=is_error, log=log, declined=declined)


def _check_surface(subject: Subject, tool: ToolVersion, found: Sequence[ToolFunction]) -> None:
    """Refuses a call of a server that offers something else than when it was deployed.

    Raises:
        ToolSurfaceChanged: it does.
    """
    pinned, now = surface_of(tool.functions), surface_of(found)
    if pinned == now:
        return
    changes = told(differences(tool.functions, found))
    raise ToolSurfaceChanged(
        f'the server of "{tool.name}" offers something else than when it was deployed: {"; ".join(changes[:5])}',
        Hint(text="look at the difference, and accept it", command=f"caxton tool accept {tool.name}"),
        details={**subject.details(), "pinned": pinned, "found": now, "changes": changes},
    )


def _unreachable(subject: Subject, access: Access, why: str, made: Connection | None = None) -> ToolError:
    error = ToolUnreachable(
        f"the server of {subject.tool}, {access.server.place}, cannot be used: {why}",
        "see whether it runs, and what it says: caxton tool logs " + subject.tool,
        details={**subject.details(), "server": access.server.place},
    )
    return _logged(error, made) if made is not None else error


def _silent(subject: Subject, access: Access, idle: float, wall_time: float, made: Connection) -> ToolError:
    if idle >= wall_time:
        return _logged(limits.timed_out(subject), made)
    error = ToolTimeout(
        f"{subject.name} gave no answer and no sign of progress within {format_duration(idle)}",
        "raise mcp_server.idle_timeout in its tool.toml and deploy it, or ask for less at a time",
        details={**subject.details(), "limit": "idle_timeout", "value": access.server.idle_timeout},
    )
    return _logged(error, made)


def _logged(error: ToolError, made: Connection) -> ToolError:
    error.log = made.log.lines
    return error


def _usage(began: float) -> ToolUsage:
    return ToolUsage(wall_ms=(time.perf_counter() - began) * 1000)
