"""Access to routes: each declares the permission that it needs, and the route itself refuses whoever does not have it.

The declaration is part of the route: a route without one cannot be made, and an application that has other routes does not
start (:func:`guard_all`). OpenAPI shows it as `x-caxton-permission`. The check comes before the body is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from caxton.api.checked_route import CheckedRoute
from caxton.domain.permissions import Permission
from caxton.service.context import Caller

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route."""

    permission: Permission | None
    """None: everybody, also without a key."""
    also: Mapping[Permission, str]
    """What some requests need besides, and which."""


_DECLARED = "caxton_access"


def needs(permission: Permission, *, also: Mapping[Permission, str] | None = None) -> Callable[[Endpoint], Endpoint]:
    """Declares the permission of a route; stands below the router's decorator.

    Args:
        permission: what every request needs.
        also: what some requests need besides, which the use case checks, with the words that say which requests.
    """
    return _declare(Access(permission, also or {}))


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Declares that a route answers without a key."""
    return _declare(Access(None, {}))(endpoint)


def _declare(access: Access) -> Callable[[Endpoint], Endpoint]:
    def declared(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _DECLARED, access)
        return endpoint

    return declared


class UndeclaredRouteError(TypeError):
    """A route does not say who may use it."""


class GuardedRoute(CheckedRoute):
    """A route that checks its own permission."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Make the route of an endpoint that :func:`needs` or :func:`open_to_all` has declared."""
        access = getattr(endpoint, _DECLARED, None)
        if not isinstance(access, Access):
            raise UndeclaredRouteError(f"{path}: declare who may use it, with @needs(Permission.…) or @open_to_all")
        self.access = access
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), **_described(access)}
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that is permitted.

        Raises:
            NotPermitted: the caller may not do this.
        """
        if scope["method"] in (self.methods or ()):
            check(self.access, scope)
        await super().handle(scope, receive, send)


class GuardedPages(BaseRoute):
    """A route that is none of ours, such as that of the documentation's files, behind a permission."""

    def __init__(self, route: BaseRoute, access: Access) -> None:
        """Stand before `route`."""
        self.route = route
        self.access = access

    @property
    def path(self) -> str:
        """The path, as metrics and logs call the route."""
        return str(getattr(self.route, "path", ""))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for this route."""
        return self.route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that is permitted.

        Raises:
            NotPermitted: the caller may not do this.
        """
        check(self.access, scope)
        await self.route.handle(scope, receive, send)


def check(access: Access, scope: Scope) -> None:
    """Refuses a request whose caller may not do what `access` says.

    Raises:
        NotPermitted: the caller does not have the permission.
    """
    if access.permission is not None:
        caller: Caller = scope["state"]["caller"]
        caller.require(access.permission)


def guard_all(app: FastAPI, pages: Mapping[str, Permission]) -> None:
    """Puts the routes at `pages` behind their permissions.

    Raises:
        UndeclaredRouteError: a route says nowhere who may use it.
    """
    for place, route in enumerate(app.router.routes):
        path = getattr(route, "path", None)
        if path is not None and path in pages:
            app.router.routes[place] = GuardedPages(route, Access(pages[path], {}))
    for found in iter_route_contexts(app.router.routes):
        if not isinstance(found.original_route, GuardedRoute | GuardedPages):
            raise UndeclaredRouteError(f"{found.path or found.original_route}: this route does not say who may use it")


def guarded_routes(app: FastAPI) -> list[tuple[str, list[str], Access]]:
    """Path, methods and access of every route."""
    found: list[tuple[str, list[str], Access]] = []
    for each in iter_route_contexts(app.router.routes):
        route = each.original_route
        if isinstance(route, GuardedRoute):
            found.append((str(each.path), sorted(route.methods or ()), route.access))
        elif isinstance(route, GuardedPages):
            found.append((route.path, ["GET"], route.access))
    return found


def _described(access: Access) -> dict[str, Any]:
    told: dict[str, Any] = {"x-caxton-permission": str(access.permission)} if access.permission else {}
    if access.also:
        told["x-caxton-permission-also"] = {str(each): when for each, when in access.also.items()}
    return told
