"""Metrics on a port of their own, for Prometheus, which has a key of its own."""

import hmac
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from caxton.api.head import bearer
from caxton.api.side_app import SideApp
from caxton.api.web import WebAccess, WebRules
from caxton.domain.errors import MethodNotAllowed, NotAuthenticated, NotFound
from caxton.observability.metrics import METRICS


class MetricsApp(SideApp):
    """Serves `/metrics` to whoever has the key."""

    def __init__(self, access: WebAccess, key: Callable[[], str] | None, hint: str) -> None:
        """Serve this process's metrics.

        Args:
            access: names of the port.
            key: looks up what a scraper has to send; None lets everybody in who reaches the port.
            hint: where a scraper finds the key.
        """
        super().__init__(WebRules(access))
        self._key = key
        self._hint = hint

    async def answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Answers a scrape."""
        if self._key is not None:
            given = bearer(headers.get("authorization", "")) or ""
            if not hmac.compare_digest(given.encode(), self._key().encode()):
                raise NotAuthenticated("the key of the metrics is needed", self._hint)
        if scope["path"] != "/metrics":
            raise NotFound("there is nothing here but /metrics")
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("metrics are only read", details={"allow": ["GET", "HEAD"]})
        content, media_type = METRICS.render(headers.get("accept"))
        await Response(content, media_type=media_type)(scope, receive, send)
