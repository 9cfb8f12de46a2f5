"""Grants of tools: list, grant, revoke."""

from datetime import UTC, datetime, timedelta

from caxton.domain.errors import Hint, NotFound, NotGrantable
from caxton.domain.events import Payload
from caxton.domain.events.tools import ToolGrantCreated, ToolGrantRefused, ToolGrantRevoked
from caxton.domain.grants import GrantPolicy, GrantRequest, StandingGrants, ToolGrant
from caxton.domain.ids import new_id
from caxton.domain.records import Records, Transaction
from caxton.recording import journal
from caxton.service.context import Caller
from caxton.views.tools import GrantsView


class ToolGrants:
    """Use cases on grants."""

    def __init__(self, records: Records, policy: GrantPolicy, standing: StandingGrants) -> None:
        """Keep grants in `records`, by the rules of `policy`, beside those that the server's settings make."""
        self.records = records
        self.policy = policy
        self.standing = standing

    async def list_grants(self, caller: Caller, tool: str | None = None) -> GrantsView:
        """All grants of the workspace, or those of one tool: also those that have ended, unless they were revoked."""
        found = await self.records.read(lambda transaction: transaction.tool_grants(caller.scope, tool))
        standing = [each for each in self.standing.of(caller.scope) if tool in (None, each.tool)]
        return GrantsView(grants=[*standing, *found], limits=self.policy.base, maximum=self.policy.maximum)

    async def grant(self, caller: Caller, request: GrantRequest) -> ToolGrant:
        """Grants rights to a tool, from the next call on. The tool need not be deployed yet.

        Raises:
            NotGrantable: some of it is given to no tool; nothing is granted.
        """
        problems = self.policy.problems(request, own_customer=caller.scope.customer == self.standing.home)
        if problems:
            refused = ToolGrantRefused(tool=request.tool, rights=request.told(), problems=problems)
            await self.records.write(lambda transaction: self._tell(transaction, caller, refused, new_id("tg")))
            raise NotGrantable(
                f"this cannot be granted: {'; '.join(problems)}",
                "leave it out; docs/how-to/grant-tools.md says what no tool gets, and how to give it secrets of its own",
                details={"tool": request.tool, "problems": problems},
            )
        now = datetime.now(UTC)
        grant = ToolGrant(
            **request.model_dump(exclude={"expires_in"}),
            id=new_id("tg"),
            expires_at=now + timedelta(seconds=request.expires_in) if request.expires_in is not None else None,
            created_at=now,
            created_by=caller.actor,
            key_id=None if caller.by_token else caller.key_id,
        )

        def add(transaction: Transaction) -> None:
            transaction.add_tool_grant(caller.scope, grant)
            transaction.bump_generation(caller.scope)
            told = ToolGrantCreated(
                grant_id=grant.id,
                tool=grant.tool,
                rights=grant.told(),
                for_agent=grant.agent,
                function=grant.function,
                arguments=sorted(grant.arguments),
                expires_at=grant.expires_at.isoformat() if grant.expires_at else None,
                count=grant.count,
                reason=grant.reason,
                digest=grant.digest,
            )
            self._tell(transaction, caller, told, grant.id, grant.agent)

        await self.records.write(add)
        return grant

    async def revoke(self, caller: Caller, grant_id: str) -> ToolGrant:
        """Takes a grant back: calls that begin from now on do not have it.

        Raises:
            NotFound: there is no such grant, or it was revoked before.
        """
        scope = caller.scope

        def end(transaction: Transaction) -> ToolGrant | None:
            known = transaction.tool_grant(scope, grant_id)
            if known is None or not transaction.revoke_tool_grant(scope, grant_id, caller.actor):
                return None
            transaction.bump_generation(scope)
            told = ToolGrantRevoked(grant_id=known.id, tool=known.tool, rights=known.told())
            self._tell(transaction, caller, told, grant_id, known.agent)
            return known

        found = await self.records.write(end)
        if found is None:
            raise NotFound(
                f'there is no grant "{grant_id[:64]}"',
                Hint(text="see all", command="caxton tool grants"),
                details={"grant": grant_id[:64]},
            )
        return found

    def _tell(
        self, transaction: Transaction, caller: Caller, told: Payload, grant_id: str, agent: str | None = None
    ) -> None:
        event = journal.note(caller.scope, told, grant_id, actor=caller.actor, agent=agent)
        transaction.add_events(caller.scope, [event])
