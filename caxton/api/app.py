"""The application: routes, errors, gate."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from caxton import __version__
from caxton.api.errors import ERROR_RESPONSES, add_error_handlers
from caxton.api.gate import Gate
from caxton.api.hot import HotRoute
from caxton.api.routes import (
    agents,
    conversations,
    deployments,
    events,
    governance,
    memory,
    messages,
    system,
    tools,
    views,
)
from caxton.api.services import Services

DESCRIPTION = """
Agents as durable workflows. Every route but `/health` and `/ready` needs an API key (`Authorization: Bearer …`); data
belong to the key's customer and to the workspace that `X-Caxton-Workspace` names. Errors are
[problem details](https://www.rfc-editor.org/rfc/rfc9457) with a `code` and `hints`.
"""


def build_app(services: Services) -> ASGIApp:
    """The ASGI application over `services`."""
    api = build_api()
    api.state.services = services
    return Gate(HotRoute(api, services), services.keys, services.limits)


def build_api() -> FastAPI:
    """The routes without their services: enough for the OpenAPI description."""
    from fastapi_offline import FastAPIOffline

    api = FastAPIOffline(
        title="Caxton", version=__version__, description=DESCRIPTION, responses=ERROR_RESPONSES, redoc_url=None
    )
    for module in (messages, conversations, deployments, agents, tools, events, views, governance, memory, system):
        api.include_router(module.router)
    add_error_handlers(api)
    return api
