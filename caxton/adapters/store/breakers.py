"""Queries on circuit breakers."""

import json
from collections import Counter

from sqlalchemy import select

from caxton.adapters.store.schema import generations
from caxton.adapters.store.schema_breakers import breakers
from caxton.adapters.store.session import Session, in_scope, scoped
from caxton.domain.breakers import Breaker, BreakerKind
from caxton.domain.ids import Scope


class BreakerQueries(Session):
    """Circuit breakers."""

    def bump_breakers(self, scope: Scope) -> None:
        """Tells every process that a breaker of the workspace has changed."""
        self.generations.clear()
        changed = self.connection.execute(
            generations.update().where(in_scope(generations, scope)).values(breakers=generations.c.breakers + 1)
        )
        if not changed.rowcount:
            self.connection.execute(generations.insert(), scoped(scope, generation=0, breakers=1))

    def breakers(self, scope: Scope) -> list[Breaker]:
        """All of the workspace, by kind and name."""
        query = select(breakers.c.document).where(in_scope(breakers, scope)).order_by(breakers.c.kind, breakers.c.name)
        return [Breaker.model_validate_json(text) for text in self.connection.execute(query).scalars()]

    def breaker(self, scope: Scope, kind: BreakerKind, name: str) -> Breaker | None:
        """One of them. With PostgreSQL nobody else changes it until the transaction ends."""
        query = select(breakers.c.document).where(
            in_scope(breakers, scope), breakers.c.kind == kind, breakers.c.name == name
        )
        text = self.connection.execute(query.with_for_update()).scalar()
        return Breaker.model_validate_json(text) if text else None

    def put_breaker(self, scope: Scope, breaker: Breaker) -> None:
        """Keeps it as it is now."""
        document = breaker.model_dump_json(exclude_defaults=True)
        is_it = (in_scope(breakers, scope), breakers.c.kind == breaker.kind, breakers.c.name == breaker.name)
        if not self.connection.execute(breakers.update().where(*is_it).values(document=document)).rowcount:
            row = scoped(scope, kind=breaker.kind, name=breaker.name, document=document)
            self.connection.execute(breakers.insert(), row)

    def remove_breaker(self, scope: Scope, kind: BreakerKind, name: str) -> bool:
        """Forgets it: it is closed. False when there is nothing to forget."""
        gone = self.connection.execute(
            breakers.delete().where(in_scope(breakers, scope), breakers.c.kind == kind, breakers.c.name == name)
        )
        return bool(gone.rowcount)

    def count_breakers(self) -> dict[tuple[str, str], int]:
        """How many there are of each kind in each state, of all customers."""
        found = self.connection.execute(select(breakers.c.kind, breakers.c.document))
        return dict(Counter((kind, json.loads(text).get("state", "Closed")) for kind, text in found))
