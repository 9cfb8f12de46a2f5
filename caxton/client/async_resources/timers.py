"""Schedules and triggers.

`sync_resources/timers.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping
from datetime import datetime

from caxton.client.async_resources.calls import TURN_TIMEOUT, AsyncCalls, segment
from caxton.domain.executions import TurnView
from caxton.domain.ids import new_id
from caxton.domain.triggers import Acknowledgement
from caxton.views.schedules import BackfillView, ScheduleDetails, ScheduleView
from caxton.views.triggers import TriggerView


class AsyncTimerCalls(AsyncCalls):
    """Schedules and triggers."""

    async def schedules(self, agent: str | None = None) -> list[ScheduleView]:
        """Schedules of the workspace, or of one agent, with their next due times."""
        return [
            ScheduleView.model_validate(each) for each in (await self._get("/v1/schedules", agent=agent))["schedules"]
        ]

    async def schedule(self, agent: str, name: str) -> ScheduleDetails:
        """One schedule of an agent, with its latest runs."""
        return ScheduleDetails.model_validate(await self._get(f"/v1/schedules/{segment(agent)}/{segment(name)}"))

    async def pause_schedule(self, agent: str, name: str, reason: str = "") -> ScheduleDetails:
        """Lets due times pass without a run."""
        return ScheduleDetails.model_validate(await self._on_schedule(agent, name, "pause", {"reason": reason}))

    async def resume_schedule(self, agent: str, name: str, reason: str = "") -> ScheduleDetails:
        """Runs due times again from now on."""
        return ScheduleDetails.model_validate(await self._on_schedule(agent, name, "resume", {"reason": reason}))

    async def trigger_schedule(
        self, agent: str, name: str, *, wait: bool = False, idempotency_key: str | None = None
    ) -> TurnView:
        """Runs a schedule now.

        Args:
            agent: whose schedule.
            name: which.
            wait: whether to wait for the reply.
            idempotency_key: the same one is one run; without it each call is a run of its own.
        """
        answer = await self._post(
            f"/v1/schedules/{segment(agent)}/{segment(name)}/trigger",
            None,
            params={"wait": "true" if wait else "false"},
            key=idempotency_key or new_id("i"),
            timeout=TURN_TIMEOUT if wait else 60.0,
        )
        return TurnView.model_validate(answer)

    async def backfill_schedule(
        self, agent: str, name: str, start: datetime | str, end: datetime | str
    ) -> BackfillView:
        """Runs due times from `start` to `end` (ISO 8601 if text), both in the past, one after another."""
        body = {"start": _text(start), "end": _text(end)}
        return BackfillView.model_validate(await self._on_schedule(agent, name, "backfill", body))

    async def triggers(self, agent: str | None = None) -> list[TriggerView]:
        """Triggers of the workspace, or of one agent, with the addresses of their webhooks."""
        return [TriggerView.model_validate(each) for each in (await self._get("/v1/triggers", agent=agent))["triggers"]]

    async def trigger(self, agent: str, name: str) -> TriggerView:
        """One trigger of an agent."""
        return TriggerView.model_validate(await self._get(f"/v1/triggers/{segment(agent)}/{segment(name)}"))

    async def deliver(self, path: str, body: bytes, headers: Mapping[str, str]) -> Acknowledgement:
        """Sends a delivery to a webhook, as another system would.

        Args:
            path: of a :class:`~caxton.views.triggers.TriggerView`.
            body: JSON.
            headers: with the signature.
        """
        answer = await self._transport.request(
            "POST", path, content=body, content_type="application/json", headers=headers
        )
        return Acknowledgement.model_validate(answer.json())

    async def _on_schedule(self, agent: str, name: str, what: str, body: dict[str, str]) -> object:
        return await self._post(f"/v1/schedules/{segment(agent)}/{segment(name)}/{what}", body)


def _text(moment: datetime | str) -> str:
    return moment if isinstance(moment, str) else moment.isoformat()
