"""The application: routes, errors, gate."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from caxton import __version__
from caxton.api import front_page
from caxton.api.docs_page import FILES, add_docs_page
from caxton.api.errors import add_error_handlers
from caxton.api.gate import Gate
from caxton.api.guard import guard_all
from caxton.api.openapi import describe
from caxton.api.plain_messages import PlainMessages
from caxton.api.routes import (
    a2a,
    agents,
    agui,
    breakers,
    codec,
    conversations,
    deployments,
    events,
    files,
    forks,
    governance,
    keys,
    mcp,
    memory,
    messages,
    openai,
    retention,
    rollouts,
    schedules,
    storage,
    system,
    tool_grants,
    tools,
    triggers,
    views,
)
from caxton.api.services import Services
from caxton.api.web import WebAccess
from caxton.domain.permissions import Permission

PAGES: dict[str, Permission] = dict.fromkeys(("/docs", "/openapi.json", FILES), Permission.SERVER_READ)
"""Routes that FastAPI makes, and what they need."""

DESCRIPTION = """
Agents as durable workflows. Every route but `/health`, `/ready` and those of webhooks needs an API key: press *Authorize* and
paste one. On the server's machine, `admin.key` in its data folder has one (`caxton config show` says where); `caxton key create`
makes others. Data belong to the key's customer and to the workspace that `X-Caxton-Workspace` names, one of those that the key
may use. Each operation names the permission that it needs as `x-caxton-permission`. Errors are
[problem details](https://www.rfc-editor.org/rfc/rfc9457) with a `code` and `hints`; below `/openai/v1`, where clients of
OpenAI's API find capabilities as models, they are in OpenAI's form, at `/mcp` in that of JSON-RPC, below `/a2a/v1` in that of
the A2A protocol.
"""


def build_app(services: Services, access: WebAccess | None = None) -> ASGIApp:
    """The ASGI application over `services`, for the names and sites that `access` has."""
    api = build_api()
    api.state.services = services
    return Gate(PlainMessages(api, services), services, access)


def build_api() -> FastAPI:
    """The routes without their services: enough for the OpenAPI description."""
    from fastapi_offline import FastAPIOffline

    api = FastAPIOffline(
        docs_url=None,
        title="Caxton",
        version=__version__,
        description=DESCRIPTION,
        redoc_url=None,
        static_url=FILES,
        redirect_slashes=False,  # a redirect would repeat the request's host
    )
    for module in (
        messages,
        forks,
        conversations,
        files,
        deployments,
        rollouts,
        agents,
        schedules,
        triggers,
        tools,
        tool_grants,
        events,
        views,
        governance,
        breakers,
        memory,
        retention,
        storage,
        codec,
        keys,
        system,
        openai,
        mcp,
        agui,
        a2a,
        front_page,
    ):
        api.include_router(module.router)
    api.include_router(triggers.hooks)
    add_docs_page(api)
    guard_all(api, PAGES)
    describe(api)
    add_error_handlers(api)
    return api
