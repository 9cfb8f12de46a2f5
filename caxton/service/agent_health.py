"""Looks after agents: restarts those that are not well, with backoff, and stops those that restarts do not help.

Every worker looks; what is to be done for an agent is decided in a transaction, so one of them does it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from caxton.domain.agent_health import AgentHealth, Trouble, Verdict
from caxton.domain.agents import AgentState
from caxton.domain.breakers import Breaker, BreakerKind, BreakerState
from caxton.domain.errors import CaxtonError
from caxton.domain.events.deployments import AgentHealthChecked
from caxton.domain.ids import Digest, Scope
from caxton.domain.ports import ModelGateway
from caxton.domain.records import Records, Transaction
from caxton.governance.alerts import alert
from caxton.governance.faults import is_beyond_its_reach
from caxton.recording import journal
from caxton.routing.directory import Directory
from caxton.service.agents import Agents

log = logging.getLogger(__name__)

AT_A_TIME = 500
"""Agents of one look, so that thousands take little of it: with more than so many, each is looked at in turn."""

GRACE = 5.0
"""Seconds that work in progress of an agent gets that is restarted or stopped."""


@dataclass(frozen=True)
class HealthRules:
    """What the server's settings say."""

    every: float = 10.0
    restarts: int = 3
    backoff: float = 10.0
    alerts: Sequence[str] = ()
    """Channels that are told when an agent is stopped."""


@dataclass(frozen=True)
class _Found:
    scope: Scope
    agent: str
    digest: Digest
    state: AgentState
    trouble: Trouble | None


class AgentHealthWorker:
    """Looks after the agents of all workspaces."""

    def __init__(
        self, records: Records, models: ModelGateway, directory: Directory, agents: Agents, rules: HealthRules
    ) -> None:
        """Look into `records`; `models` tell whether an agent can load, `agents` restart and stop."""
        self.records = records
        self.models = models
        self.directory = directory
        self.agents = agents
        self.rules = rules
        self._next: tuple[str, str, str] = ("", "", "")
        """Customer, workspace and name of the agent that is looked at first the next time."""

    async def run(self) -> None:
        """Looks, again and again."""
        while True:
            await asyncio.sleep(self.rules.every)
            try:
                await self.look()
            except CaxtonError as error:
                log.warning("the health of agents could not be checked: %s", error.message)
            except Exception as error:
                log.exception("the health of agents could not be checked", extra={"error": type(error).__name__})

    async def look(self) -> None:
        """Looks once, and does what is to be done."""
        scopes, urgent = await self.records.read(lambda tx: (tx.all_scopes(), set(tx.scopes_not_well())))
        left = AT_A_TIME
        for scope in sorted(scopes, key=lambda each: (each.customer, each.workspace)):
            is_due = left > 0 and (scope.customer, scope.workspace) >= self._next[:2]
            if not is_due and scope not in urgent:
                continue
            found, looked = await self.records.read(lambda tx, scope=scope, left=left: self._find(tx, scope, left))
            left -= looked
            for each in found:
                await self._deal_with(each)
        if left > 0:  # the next look begins again at the first
            self._next = ("", "", "")

    def _find(self, transaction: Transaction, scope: Scope, most: int) -> tuple[list[_Found], int]:
        """Agents that are not well or were not, and how many were looked at."""
        registry = self.directory.registry(transaction, scope)
        known = {health.agent for health in transaction.agents_not_well(scope)}
        failing = {name: each for (kind, name), each in registry.breakers.items() if kind is BreakerKind.AGENT}
        wanted = {*known, *failing}
        names = sorted(name for name in registry.index.agents if (scope.customer, scope.workspace, name) >= self._next)
        looked = names[: max(0, most)]
        if len(looked) < len(names):
            self._next = (scope.customer, scope.workspace, names[len(looked)])
        found: list[_Found] = []
        for name in dict.fromkeys([*looked, *sorted(wanted)]):
            deployed = registry.index.agents.get(name)
            if deployed is None:
                continue
            trouble = self._trouble(transaction, scope, deployed.digest, failing.get(name))
            if trouble is not None or name in known:
                found.append(_Found(scope, name, deployed.digest, deployed.state, trouble))
        return found, len(looked)

    def _trouble(
        self, transaction: Transaction, scope: Scope, digest: Digest, breaker: Breaker | None
    ) -> Trouble | None:
        try:
            self.models.resolve(self.directory.agent_version(transaction, scope, digest))
        except CaxtonError as error:
            return Trouble(code=error.code, message=error.message)
        if breaker is None or breaker.state is not BreakerState.OPEN or is_beyond_its_reach(breaker.code):
            return None
        turns = "its last turn" if breaker.failures == 1 else f"its last {breaker.failures} turns"
        message = f"{turns} failed: {breaker.code}"
        return Trouble(code=breaker.code or "execution_failed", message=message, since=breaker.since)

    async def _deal_with(self, found: _Found) -> None:
        verdict = await self.records.write(lambda transaction: self._decide(transaction, found))
        if verdict not in ("restart", "stop"):
            return
        assert found.trouble is not None
        log.warning(
            'agent "%s" is not well (%s): %s',
            found.agent,
            found.trouble.code,
            "stopped" if verdict == "stop" else verdict,
        )
        try:
            if verdict == "stop":
                reason = f"HealthCheckFailed: {found.trouble.message}"
                await self.agents.look_after(found.scope, found.agent, "stop", GRACE, reason)
            else:
                await self.agents.look_after(found.scope, found.agent, "restart", GRACE, None)
        except CaxtonError as error:  # it cannot load: the next look finds it as it is
            log.warning('agent "%s" could not be started: %s', found.agent, error.message)

    def _decide(self, transaction: Transaction, found: _Found) -> Verdict:
        """What is to be done, noted in the same transaction: whoever comes second finds it done."""
        component = transaction.component(found.scope, "agent", found.agent)
        known = transaction.agent_health(found.scope, found.agent)
        health, now = known or AgentHealth(agent=found.agent), time.time()
        if component is None or component.digest != found.digest or component.state == AgentState.STOPPED:
            if known is not None:  # deployed again, removed, or stopped by somebody
                transaction.remove_agent_health(found.scope, found.agent)
            return "wait"
        if component.state not in (AgentState.RUNNING, AgentState.FAILED) or (
            component.state == AgentState.FAILED and known is None
        ):
            return "wait"
        verdict = health.verdict(found.trouble, now, self.rules.restarts)
        if verdict == "healed":
            if transaction.remove_agent_health(found.scope, found.agent):
                self._tell(transaction, found, "Healthy", health.restarts, None)
        elif verdict == "restart":
            assert found.trouble is not None
            restarted = health.restarted(found.trouble, now, self.rules.backoff)
            transaction.put_agent_health(found.scope, restarted)
            self._tell(transaction, found, "Restarted", restarted.restarts, found.trouble)
        elif verdict == "stop":
            assert found.trouble is not None
            transaction.remove_agent_health(found.scope, found.agent)
            self._tell(transaction, found, "Stopped", health.restarts, found.trouble)
            facts = {"reason": found.trouble.code, "restarts": health.restarts}
            alert(transaction, found.scope, "health", found.agent, self.rules.alerts, facts)
        return verdict

    def _tell(
        self, transaction: Transaction, found: _Found, status: str, restarts: int, trouble: Trouble | None
    ) -> None:
        told = AgentHealthChecked(
            name=found.agent, status=status, restarts=restarts, reason=trouble.code if trouble else ""
        )
        event = journal.note(
            found.scope,
            told,
            found.agent,
            status,
            journal.now().isoformat(),
            agent=found.agent,
            error_code=trouble.code if trouble else None,
        )
        transaction.add_events(found.scope, [event])
