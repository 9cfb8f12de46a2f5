"""One connection to a server: opened, asked for its functions, called, and closed by one task of the connections' loop."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from caxton import __version__
from caxton.adapters.mcp.access import Access
from caxton.adapters.mcp.asking import MOST_ROUNDS, URL_REQUIRED, Asker, Asking
from caxton.adapters.mcp.meter import Conceal, Meter, ServerLog
from caxton.adapters.mcp.stdio import NotStarted, StdioServer
from caxton.adapters.sandbox.addresses import Check
from caxton.adapters.sandbox.results import check_functions, parse_tool_list
from caxton.domain.json_schemas import Malformed, measure
from caxton.domain.questions import Answer, Elicitation
from caxton.domain.strict_json import MOST_VALUES
from caxton.domain.tools import ToolFunction

if TYPE_CHECKING:
    from caxton.adapters.mcp.http import GuardedTransport

MOST_PAGES: Final = 20
"""Pages in which a server may tell its functions."""

LIST_SIZE: Final = 4 << 20
"""Bytes of all that a server tells of its functions."""

STATELESS: Final = "2026-07-28"
"""The first revision in which servers ask by results, and not on the connection."""

LISTED_FOR: Final = 5.0
"""Seconds for which what a server told of its functions is taken for current: not all of them say that it has changed."""


class Lost(Exception):
    """There is no connection, or it ended before an answer came; the text says why."""


class Forgotten(Lost):
    """The server does not know the session any more, so it has done nothing."""


class Silent(Exception):
    """The server gave no answer and no sign of progress in time."""


class Excessive(Exception):
    """The server sent more than it may."""


class ErrorAnswered(Exception):
    """The server answered with an error of the protocol; the text is its own."""

    def __init__(self, text: str, code: int, data: object = None) -> None:
        """The error of that `code`, with what the server said besides."""
        super().__init__(text)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call brought."""

    raw: Mapping[str, Any]
    declined: Sequence[str] = ()
    """Kinds of questions that nobody was asked."""
    question: Elicitation | None = None
    """What has to be answered before it brings anything."""


class Connection:
    """A session with a server, as one customer's workspace has it. All of its methods run on the connections' loop."""

    def __init__(self, access: Access, check: Check, message_size: int) -> None:
        """Prepare it.

        Args:
            access: the server, and what it is given.
            check: refuses addresses that no tool may connect to.
            message_size: bytes of one message of the server.
        """
        self._access = access
        self._check = check
        self._meter = Meter(max(message_size, LIST_SIZE) + (64 << 10))
        self.conceal = Conceal(access.secrets)
        self.log = ServerLog(self.conceal)
        self.functions: list[ToolFunction] = []
        """What the server offers, as it said last."""
        self.calls = 0
        """Calls in progress."""
        self.used_at = asyncio.get_running_loop().time()
        self._asking = Asking(self.conceal)
        self._session: Any = None
        self._listing = asyncio.Lock()
        self._listed_at: float | None = None
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._http: GuardedTransport | None = None
        self._why = ""

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._task is not None and not self._task.done() and not self._closing.is_set()

    async def open(self) -> None:
        """Connects, and learns what the server offers. Whoever gives up waiting closes it.

        Raises:
            Lost: there is no such server.
            Malformed: what it says is not MCP.
            Excessive: it says too much.
        """
        self._task = asyncio.create_task(self._live())
        self.calls += 1  # whoever closes what is idle leaves it alone
        try:
            await asyncio.shield(self._opened)
            await self.list_functions()
        except BaseException:
            await self.close()
            raise
        finally:
            self.calls -= 1
            self.used_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Ends the session, and the server where it is a child process."""
        self._closing.set()
        if self._task is not None:
            if not self._opened.done():
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- what one can ask --------------------------------------------------------------------------------------------

    async def current(self) -> list[ToolFunction]:
        """What the server offers now."""
        async with self._listing:
            now = asyncio.get_running_loop().time()
            if self._listed_at is None or now - self._listed_at > LISTED_FOR:
                await self._list()
            return self.functions

    async def list_functions(self) -> list[ToolFunction]:
        """Asks what the server offers."""
        async with self._listing:
            await self._list()
            return self.functions

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any],
        idle: float,
        wall_time: float,
        answers: Sequence[Answer] | None = None,
    ) -> Answered:
        """Calls a function.

        Args:
            function: its name.
            arguments: a JSON object.
            idle: seconds without an answer or a sign of progress after which the call is given up.
            wall_time: seconds after which it is given up in any case.
            answers: to what the server asks people; None: nobody can be asked.

        Returns:
            The result as the server sent it, without secrets; or a question, whereupon the call was given up.

        Raises:
            Lost: the server went away.
            Silent: it did not answer in time; it has been told that nobody waits any more.
            Excessive: the answer is too large.
            ErrorAnswered: it answered with an error.
            Malformed: it answered something else.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + wall_time
        self.calls += 1
        try:
            async with asyncio.timeout_at(min(end, loop.time() + idle)) as limit:

                async def go_on(*_: object) -> None:
                    if not limit.expired():
                        limit.reschedule(min(end, loop.time() + idle))

                async with self._asking.call(function, answers) as made:
                    raw = await self._call(made, arguments, go_on)
        except TimeoutError:
            raise Silent from None
        finally:
            self.calls -= 1
            self.used_at = loop.time()
        _check_values(raw)
        return Answered(self.conceal.value(raw), made.declined, made.question)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _call(self, made: Asker, arguments: Mapping[str, Any], go_on: Any) -> dict[str, Any]:
        """The result of a call; empty where it was given up because its server asks what nobody has answered yet."""
        import mcp_types as types

        params = types.CallToolRequestParams(name=made.function, arguments=dict(arguments))
        raw: dict[str, Any] = {}
        for _ in range(MOST_ROUNDS):
            found = await self._unless_asked(made, types.CallToolRequest(params=params), go_on)
            if found is None:
                return {}
            raw = found
            responses = self._asking.responses(made, raw) if raw.get("resultType") == "input_required" else None
            if responses is None:
                break
            params = params.model_copy(update={"input_responses": responses, "request_state": raw.get("requestState")})
        return raw

    async def _unless_asked(self, made: Asker, request: Any, go_on: Any) -> dict[str, Any] | None:
        """Sends a call; None where its server asked something meanwhile, and the call was given up."""
        from pydantic import TypeAdapter

        asking = asyncio.create_task(self._ask(request, TypeAdapter(dict[str, Any]), progress_callback=go_on))
        hearing = asyncio.create_task(made.has_question.wait())
        try:
            await asyncio.wait([asking, hearing], return_when=asyncio.FIRST_COMPLETED)
            return None if made.question is not None else await asking
        except ErrorAnswered as error:
            if error.code == URL_REQUIRED:
                self._asking.on_error(made, error.data)
            if made.question is None:
                raise
            return None
        finally:
            for task in (asking, hearing):
                task.cancel()
            await asyncio.gather(asking, hearing, return_exceptions=True)

    async def _list(self) -> None:
        import mcp_types as types

        told: list[dict[str, Any]] = []
        cursor: str | None = None
        self._listed_at = None
        for _ in range(MOST_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            page = await self._ask_listing(params)
            functions, cursor = parse_tool_list(
                {
                    "tools": [tool.model_dump(by_alias=True, mode="json", exclude_unset=True) for tool in page.tools],
                    "nextCursor": page.next_cursor,
                }
            )
            told += functions
            if cursor is None:
                break
        else:
            raise Malformed(f"it tells its functions in more than {MOST_PAGES} pages")
        _check_values(told)
        check_functions(told)
        self.functions = [ToolFunction.model_validate(self.conceal.value(each)) for each in told]
        self._listed_at = asyncio.get_running_loop().time()

    async def _ask_listing(self, params: Any) -> Any:
        return await self._answered(self._session.list_tools(params=params))

    async def _ask(self, request: Any, result: Any, **more: Any) -> Any:
        return await self._answered(self._session.send_request(request, result, **more))

    async def _answered(self, asking: Any) -> Any:
        import mcp_types as types
        from mcp.shared.exceptions import MCPError
        from pydantic import ValidationError

        if not self.is_open:
            asking.close()
            raise Lost(self._why or "it has ended")
        self._meter.begin()
        try:
            return await asking
        except MCPError as error:
            if self._meter.exceeded:
                raise Excessive from None
            if error.code == types.CONNECTION_CLOSED:
                self._closing.set()
                raise Lost(await self._reason()) from None
            if error.code == types.INVALID_REQUEST and error.message == "Session terminated":
                self._closing.set()
                raise Forgotten("it does not know the session any more") from None
            raise ErrorAnswered(self.conceal.text(error.message)[:2_000], error.code, error.data) from None
        except ValidationError:
            raise Malformed("it is not what the protocol says") from None

    async def _reason(self) -> str:
        """Why the connection ended, once its task has found out."""
        assert self._task is not None
        await asyncio.wait([self._task], timeout=10.0)
        return self._why or "it went away"

    async def _live(self) -> None:
        """The connection from its beginning to its end, in one task as the SDK's task groups want it."""
        from mcp.client.client import Client

        try:
            async with AsyncExitStack() as stack:
                transport = await self._transport(stack)
                client = Client(
                    transport,
                    cache=None,
                    client_info=_who_we_are(),
                    elicitation_callback=self._elicited,
                    message_handler=self._hear,
                )
                self._session = (await stack.enter_async_context(client)).session
                self._asking.on_connection = client.protocol_version < STATELESS
                self._opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            self._why = self._explain(error)
            if not self._opened.done():
                self._opened.set_exception(Excessive() if self._meter.exceeded else Lost(self._why))
                self._opened.exception()  # looked at, whoever else does
        finally:
            self._closing.set()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        server = self._access.server
        if server.url is None:
            words = [server.command or "", *server.args]
            child = StdioServer(words, self._access.variables, self._meter, self.log)
            stack.push_async_callback(_cancel, asyncio.create_task(self._watch(child)))
            return child.transport()
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        from caxton.adapters.mcp.http import GuardedTransport

        assert server.origin is not None
        self._http = GuardedTransport(server.origin, self._check, self._meter)
        timeout = httpx2.Timeout(None, connect=server.connect_timeout)  # calls have limits of their own
        client = httpx2.AsyncClient(
            transport=self._http, headers=dict(self._access.headers), timeout=timeout, trust_env=False
        )
        await stack.enter_async_context(client)
        return streamable_http_client(server.url, http_client=client, max_sse_event_size=self._meter.message_size)

    async def _watch(self, child: StdioServer) -> None:
        await child.ended.wait()
        self._why = self._why or "its process has ended, or says nothing any more"
        self._closing.set()

    async def _elicited(self, context: Any, params: Any) -> Any:  # noqa: ARG002 - the SDK gives it by name
        return self._asking.on_question(params)

    async def _hear(self, message: Any) -> None:
        import mcp_types as types

        if isinstance(message, types.ToolListChangedNotification):
            self._listed_at = None

    def _explain(self, error: BaseException) -> str:
        if self._http is not None and self._http.refused is not None:
            return self._http.refused
        for each in _leaves(error):
            if isinstance(each, NotStarted):
                return str(each)
            if type(each).__module__.partition(".")[0] in ("httpx2", "httpcore2"):
                return f"it could not be asked: {type(each).__name__}"
            if type(each).__name__ == "MCPError" and str(each) != "Connection closed":
                return f"it refused the session: {self.conceal.text(str(each))[:300]}"
        return "it ended" if self._access.server.url is None else "it went away"


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [leaf for each in group.exceptions for leaf in _leaves(each)]
    return [error]


def _check_values(value: Any) -> None:
    if measure(value) > MOST_VALUES:
        raise Malformed(f"it has more than {MOST_VALUES:,} values; a large table can be one text")


def _who_we_are() -> Any:
    import mcp_types as types

    return types.Implementation(name="caxton", version=__version__)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
