"""Events of the server itself: installed, ready, settings changed, stopped."""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from caxton.domain.errors import CaxtonError
from caxton.domain.events import Event
from caxton.domain.events.system import (
    CaxtonInstalled,
    CaxtonReady,
    ClockSetBack,
    ConfigurationChanged,
    FirstTimeUserDetected,
    OnboardingMilestoneReached,
    ServerStartFailed,
    ServerStopped,
)
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.recording.journal import note

KEY_IDS = "engine.encryption.key_ids"
"""As which the event of a server's start tells the ids of the keys that encrypt what the engine keeps."""

MILESTONES = (
    ("FirstAgentCreated", "agent_initialized"),
    ("FirstDeployment", "deployment_activated"),
    ("FirstMessageProcessed", "execution_triggered"),
    ("FirstConversation", "conversation_started"),
    ("SuccessAchieved", "execution_completed"),
)
"""A milestone is reached with the first event of its type in a workspace (event model 2.0, phase 0)."""


class ServerLog:
    """Events of one server, in the log of the customer whose server it is."""

    def __init__(self, records: Records, customer: str, version: str) -> None:
        """Tell what happens to a server of this version."""
        self.records = records
        self.scope = Scope(customer=customer)
        self.version = version
        self.server_id = new_id("srv")
        self._reached: set[tuple[Scope, str]] = set()
        self._seen: dict[str, int] = {}
        """How long each customer's log was when its milestones had been told."""

    async def keys_taken_away(self, key_ids: Sequence[str]) -> list[str]:
        """Ids of keys for the engine's payloads that the last server had and this one does not."""

        def read(transaction: Transaction) -> list[str]:
            wanted = EventFilter(types=frozenset({CaxtonReady.event_type}))
            latest = transaction.events(self.scope, wanted, newest=True, limit=1)
            settings: Mapping[str, Any] = latest[0].payload.get("settings", {}) if latest else {}
            known: Sequence[str] = settings.get(KEY_IDS, [])
            return [each for each in known if each not in key_ids]

        return await self.records.read(read)

    async def ready(
        self, *, role: str, port: int | None, folder: str, seconds: float, settings: Mapping[str, Any]
    ) -> None:
        """The server takes work: an installation before its first start, settings that differ, and that it is ready."""

        def tell(transaction: Transaction) -> None:
            wanted = EventFilter(types=frozenset({CaxtonReady.event_type}))
            latest = transaction.events(self.scope, wanted, newest=True, limit=1)
            events: list[Event] = []
            if not latest:
                installed = CaxtonInstalled(version=self.version, platform=platform.system(), installation_path=folder)
                first = FirstTimeUserDetected()
                milestone = OnboardingMilestoneReached(milestone="InstallationComplete", time_elapsed_s=0.0)
                events += [note(self.scope, payload, "first start") for payload in (installed, first, milestone)]
            else:
                events += self._changed(latest[0].payload.get("settings", {}), settings)
            ready = CaxtonReady(
                server_id=self.server_id,
                version=self.version,
                port=port,
                role=role,
                startup_time_ms=round(seconds * 1000, 1),
                settings=dict(settings),
            )
            events.append(note(self.scope, ready, self.server_id, "ready"))
            transaction.add_events_once(self.scope, events)

        await self.records.write(tell)

    async def stopped(self, uptime: float) -> None:
        """The server was asked to stop."""
        told = ServerStopped(server_id=self.server_id, uptime_s=round(uptime, 1))
        await self._add(note(self.scope, told, self.server_id, "stopped"))

    async def clock_set_back(self, seconds: float, until: datetime) -> None:
        """The wall clock is so many seconds behind `until`, the latest time that was seen."""
        told = ClockSetBack(server_id=self.server_id, behind_s=round(seconds, 1), until=until)
        await self._add(note(self.scope, told, self.server_id, "clock", until.isoformat()))

    async def start_failed(self, error: CaxtonError) -> None:
        """The server could not start, although its store could be opened."""
        told = ServerStartFailed(
            reason=error.code,
            user_message=error.message,
            suggested_actions=[hint.text for hint in error.hints],
        )
        await self._add(note(self.scope, told, self.server_id, "failed", error_code=error.code))

    async def milestones(self) -> None:
        """Tells milestones that workspaces have reached, each once.

        It looks only at logs that have grown since it last looked, and writes only when there is a milestone to tell.
        """
        heads = await self.records.read(lambda transaction: transaction.customers_with_events())
        for customer, head in heads.items():
            if self._seen.get(customer) == head:
                continue
            found = await self.records.read(
                lambda transaction, customer=customer: self._milestones(transaction, customer)
            )
            for (scope, milestone), event in found.items():
                await self.records.write(
                    lambda transaction, scope=scope, event=event: transaction.add_events_once(scope, [event])
                )
                self._reached.add((scope, milestone))
            self._seen[customer] = head

    def _milestones(self, transaction: Transaction, customer: str) -> dict[tuple[Scope, str], Event]:
        """What the log shows as reached, and this server has not told yet."""
        events: dict[tuple[Scope, str], Event] = {}
        for workspace in transaction.workspaces(customer):
            scope = Scope(customer=customer, workspace=workspace)
            begun = None
            for milestone, event_type in MILESTONES:
                if (scope, milestone) in self._reached:
                    continue
                first = transaction.events(scope, EventFilter(types=frozenset({event_type})), limit=1)
                if not first:
                    continue
                begun = begun or transaction.events(scope, limit=1)[0].timestamp
                reached = OnboardingMilestoneReached(
                    milestone=milestone, time_elapsed_s=round((first[0].timestamp - begun).total_seconds(), 3)
                )
                events[scope, milestone] = note(scope, reached, workspace, milestone)
        return events

    def _changed(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Event]:
        return [
            note(
                self.scope,
                ConfigurationChanged(
                    component=name.partition(".")[0], setting=name, old_value=before.get(name), new_value=now.get(name)
                ),
                self.server_id,
                name,
            )
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]

    async def _add(self, event: Event) -> None:
        await self.records.write(lambda transaction: transaction.add_events_once(self.scope, [event]))
