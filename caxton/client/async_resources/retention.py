"""Retention and deletion.

`sync_resources/retention.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping

from caxton.client.async_resources.calls import AsyncCalls
from caxton.client.transport_async import given
from caxton.views.retention import KindView, RetentionView
from caxton.views.storage import StorageView


class AsyncRetentionCalls(AsyncCalls):
    """Retention periods."""

    async def retention(self) -> RetentionView:
        """How long the workspace keeps what, and how much is older."""
        return RetentionView.model_validate(await self._get("/v1/retention"))

    async def storage(self, *, tables: bool = False) -> StorageView:
        """Disk usage; with `tables` also the size of each table, for which SQLite reads the whole database."""
        return StorageView.model_validate(await self._get("/v1/storage", tables="true" if tables else None))

    async def set_retention(self, periods: Mapping[str, float | str | None], *, dry_run: bool = False) -> RetentionView:
        """Decides how long the workspace keeps what, in seconds or "forever"; what is left out is as the server's settings say.

        With `dry_run` it only tells how much is older.
        """
        params = {"dry_run": "true" if dry_run else None}
        response = await self._transport.request("PUT", "/v1/retention", params=params, json=given(periods))
        return RetentionView.model_validate(response.json())

    async def set_events_retention(self, period: float | str | None, *, dry_run: bool = False) -> KindView:
        """Decides how long the customer's event log stays in the database: seconds, "forever", or None as the settings say."""
        params = {"dry_run": "true" if dry_run else None}
        response = await self._transport.request("PUT", "/v1/retention/events", params=params, json={"period": period})
        return KindView.model_validate(response.json())
