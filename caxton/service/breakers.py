"""Circuit breakers: which there are, and closing one by hand."""

import time

from caxton.domain.breakers import BreakerKind, subject
from caxton.domain.errors import Hint, NotFound
from caxton.domain.ids import Scope
from caxton.domain.records import Records, Transaction
from caxton.governance.breakers import reset
from caxton.service.context import Caller
from caxton.views.breakers import BreakerView, breaker_view


class Breakers:
    """Use cases on circuit breakers."""

    def __init__(self, records: Records) -> None:
        """Look into `records`."""
        self.records = records

    async def list_breakers(self, caller: Caller) -> list[BreakerView]:
        """Those of the workspace that are not closed, or have failures to remember."""
        found = await self.records.read(lambda transaction: transaction.breakers(caller.scope))
        now = time.time()
        return [breaker_view(breaker, now) for breaker in found if breaker.kind is not BreakerKind.VIOLATIONS]

    async def reset(self, caller: Caller, kind: BreakerKind, name: str) -> BreakerView:
        """Closes a breaker and forgets its failures. Returns it as it was.

        Raises:
            NotFound: there is nothing to forget.
        """
        scope = caller.scope

        def close(transaction: Transaction) -> BreakerView | None:
            found = transaction.breaker(scope, kind, name)
            if found is None:
                return None
            reset(transaction, scope, kind, name, "reset", actor=caller.actor)
            return breaker_view(found, time.time())

        closed = await self.records.write(close)
        if closed is None:
            raise NotFound(
                f"the circuit breaker of {subject(kind, name[:64])} is closed, and has no failures to forget",
                Hint(text="see those that have", command="caxton breaker list"),
                details={"kind": kind, "name": name[:64]},
            )
        return closed


def breaker_views(transaction: Transaction, scope: Scope, kind: BreakerKind) -> dict[str, BreakerView]:
    """Breakers of a kind that are not closed, or have failures to remember, by name."""
    now = time.time()
    found = (breaker for breaker in transaction.breakers(scope) if breaker.kind is kind)
    return {breaker.name: breaker_view(breaker, now) for breaker in found}
