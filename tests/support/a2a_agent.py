"""A remote agent on the official SDK's server, beside the test."""

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, Task, TaskStatus
from a2a.types.a2a_pb2 import TaskState as State
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from tests.support.ports import free_port


class Official(AgentExecutor):
    """Answers "hello" with "abroad: hello"; "slow" takes longer than anybody waits, and "fail" fails."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.asked: list[str] = []
        """What it was asked, each time."""
        self.cancelled: list[str] = []
        """Tasks that were cancelled."""
        self.is_ill = False
        """Whether requests are answered with 500."""
        self.url = ""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Does what the message says."""
        text = context.get_user_input()
        self.asked.append(text)
        assert context.task_id
        assert context.context_id
        status = TaskStatus(state=State.TASK_STATE_SUBMITTED)
        await event_queue.enqueue_event(Task(id=context.task_id, context_id=context.context_id, status=status))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        if text == "slow":
            await asyncio.sleep(60)
        if text == "fail":
            await updater.failed(updater.new_agent_message([Part(text="no luck")]))
            return
        await updater.add_artifact([Part(text=f"abroad: {text}")], name="answer")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Ends a task."""
        assert context.task_id
        assert context.context_id
        self.cancelled.append(context.task_id)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()

    def card(self) -> AgentCard:
        """What it says of itself."""
        skill = AgentSkill(id="translate", name="translate", description="Translates.", tags=["text"])
        return AgentCard(
            name="abroad",
            description="A remote agent.",
            version="1.0.0",
            supported_interfaces=[
                AgentInterface(url=f"{self.url}/rpc", protocol_binding="JSONRPC", protocol_version="1.0")
            ],
            capabilities=AgentCapabilities(streaming=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            skills=[skill],
        )


@contextmanager
def official_agent() -> Generator[Official]:
    """It, running."""
    agent, port = Official(), free_port()
    agent.url = f"http://127.0.0.1:{port}"
    card = agent.card()
    handler = DefaultRequestHandler(agent, InMemoryTaskStore(), card)

    async def fall_ill(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return Response(status_code=500) if agent.is_ill else await call_next(request)

    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/rpc")]
    application = Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=fall_ill)])
    config = uvicorn.Config(application, port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield agent
    finally:
        server.should_exit = True
        thread.join(30)
