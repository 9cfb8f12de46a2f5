"""The rights of a tool call: what is granted to it, and taking the uses of grants that count."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from caxton.domain.events import SYSTEM, Event
from caxton.domain.events.tools import ToolGrantUsed, ToolRightsRefused
from caxton.domain.executions import Execution
from caxton.domain.grants import NOTHING, Asked, Rights, ToolGrant, needed_counts, rights_of
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Records, Transaction
from caxton.domain.refusals import Refusals
from caxton.domain.tools import ToolLimits
from caxton.recording import journal

MOST_AGENTS = 100
"""Agents of a chain of hand-overs that are looked at; limits on depth end chains long before."""


def chain_of(transaction: Transaction, scope: Scope, execution: Execution) -> list[str | None]:
    """The agents that the work came through, outermost first, that of `execution` last."""
    agents: list[str | None] = [execution.agent]
    parent: ExecutionId | None = execution.parent_id
    while parent is not None and len(agents) < MOST_AGENTS:
        above = transaction.executions(scope, [parent])[parent].execution
        agents.append(above.agent)
        parent = above.parent_id
    return agents[::-1]


async def take_rights(
    records: Records,
    scope: Scope,
    asked: Asked,
    grants: Sequence[ToolGrant],
    base: ToolLimits,
    call: str,
    *,
    actor: str = SYSTEM,
) -> Rights:
    """The rights of a call that is about to be made. Where it needs a grant that counts, takes one use of it.

    Args:
        records: where uses are counted: exactly, and before the call.
        scope: whose tool it is.
        asked: the call.
        grants: all grants of its tool.
        base: limits that every tool has.
        call: names the call: made again after a crash, it counts once.
        actor: who makes it.
    """
    if not grants:
        return NOTHING
    moment = journal.now()
    needed = needed_counts(asked, grants, moment, base)
    if not needed:
        return rights_of(asked, grants, moment)

    def take(transaction: Transaction) -> frozenset[str]:
        taken: set[str] = set()
        for grant in needed:
            used = transaction.use_tool_grant(scope, grant.id, call)
            if used is None:
                continue
            taken.add(grant.id)
            if used == 0:  # this call has it already
                continue
            transaction.add_events(scope, [_used(scope, asked, grant, used, call, actor)])
            if grant.count is not None and used >= grant.count:
                transaction.bump_generation(scope)
        return frozenset(taken)

    taken = await records.write(take)
    return rights_of(asked, grants, moment, taken)


def held_down_by(asked: Asked, grants: Sequence[ToolGrant], moment: datetime) -> str | None:
    """The delegating agent that has fewer rights than the calling one; None if there is none."""
    caller = asked.chain[-1]
    own = rights_of(replace(asked, chain=(caller,)), grants, moment)
    for agent in asked.chain[:-1]:
        if own & rights_of(replace(asked, chain=(agent,)), grants, moment) != own:
            return agent
    return None


def refusals_told(tool: str, function: str, refused: Refusals, action_id: str = "") -> ToolRightsRefused:
    """The event of a call that asked for what it may not have."""
    return ToolRightsRefused(
        tool=tool,
        function=function,
        action_id=action_id,
        refused=[each.model_dump() for each in refused.told],
        others=refused.others,
    )


def _used(scope: Scope, asked: Asked, grant: ToolGrant, used: int, call: str, actor: str) -> Event:
    told = ToolGrantUsed(grant_id=grant.id, tool=grant.tool, function=asked.function, used=used, count=grant.count or 0)
    return journal.note(scope, told, grant.id, call, actor=actor, agent=asked.chain[-1])
