"""Shared parts of all calls.

Generated from `async_resources/calls.py` by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from caxton.client.transport_sync import Transport, given
from caxton.domain.errors import UsageError
from caxton.domain.executions import TurnView
from caxton.domain.ids import new_id

TURN_TIMEOUT = 900.0
"""Seconds to wait for a turn. The agent's own limits end it long before; this keeps a dead connection from lasting."""
DEPLOY_TIMEOUT = 600.0
"""Seconds to wait for a deployment: compiling a large module takes half a minute."""

BLOB_TIMEOUT = 600.0
"""Seconds to wait for content, which may be large."""


class Calls:
    """Calls over one transport."""

    _transport: Transport

    def _get(self, path: str, **params: Any) -> Any:
        return self._transport.request("GET", path, params=params).json()

    def _post(
        self,
        path: str,
        body: Any,
        *,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        timeout: float | None = 60.0,
    ) -> Any:
        response = self._transport.request("POST", path, params=params, json=body, idempotency_key=key, timeout=timeout)
        return response.json()

    def _turn(self, path: str, body: Mapping[str, Any], wait: bool, key: str | None) -> TurnView:
        response = self._transport.request(
            "POST",
            path,
            params={"wait": "true" if wait else "false"},
            json=given(body),
            idempotency_key=key or new_id("i"),
            timeout=TURN_TIMEOUT if wait else 60.0,
        )
        return TurnView.model_validate(response.json())

    def blob(self, digest: str) -> bytes:
        """Content by its address: of an artifact, or of a message too large to travel inside."""
        return self._transport.request("GET", f"/v1/blobs/{segment(digest)}", timeout=BLOB_TIMEOUT).content


def segment(name: object) -> str:
    """A name as one segment of a path, whatever it is made of.

    Raises:
        UsageError: it is empty.
    """
    text = str(name)
    if text in ("", ".", ".."):
        raise UsageError(f'"{text}" is not a name or id')
    return quote(text, safe="")
