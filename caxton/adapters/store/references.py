"""Which workspace content belongs to."""

from collections.abc import Sequence

from sqlalchemy import or_, select, true

from caxton.adapters.store import clock
from caxton.adapters.store.schema import content_uses as uses
from caxton.adapters.store.schema import memory_undo, workspace_contents
from caxton.adapters.store.session import Session, in_scope, scoped
from caxton.domain.ids import Digest, Scope

AT_A_TIME = 500
"""Digests of one query."""


class ReferenceQueries(Session):
    """Content is kept once a customer, by its address. A workspace has what was brought there, or was made there.

    Whoever only knows an address has proved nothing: texts that anybody can write, such as arguments or a deployment that fails,
    may name any.
    """

    def add_contents(self, scope: Scope, digests: Sequence[Digest]) -> None:
        """Records that content was brought to the workspace; what is known already is not an error."""
        table, now = workspace_contents, clock.now()
        known = self.own_contents(scope, digests)
        rows = [scoped(scope, digest=each, created_at=now) for each in dict.fromkeys(digests) if each not in known]
        if rows:
            self.connection.execute(table.insert(), rows)

    def own_contents(self, scope: Scope, digests: Sequence[Digest]) -> set[Digest]:
        """Those of the digests whose content was brought to the workspace: all that its deployments may consist of."""
        table, found, wanted = workspace_contents, set[Digest](), list(dict.fromkeys(digests))
        for start in range(0, len(wanted), AT_A_TIME):
            some = table.c.digest.in_(wanted[start : start + AT_A_TIME])
            query = select(table.c.digest).where(in_scope(table, scope), some)
            found.update(map(Digest, self.connection.execute(query).scalars()))
        return found

    def has_content(self, scope: Scope, digest: Digest, *, everywhere: bool = False) -> bool:
        """Whether the content was brought to the workspace, or is that of a message or a tool's result in it.

        Args:
            scope: the workspace.
            digest: the content's address.
            everywhere: look into all workspaces of the customer.
        """
        said = or_(uses.c.step == -1, uses.c.call > 0)  # a draft is not, until a person lets it go out
        for table, counts in ((workspace_contents, true()), (uses, said)):
            where = table.c.customer == scope.customer if everywhere else in_scope(table, scope)
            query = select(table.c.digest).where(where, table.c.digest == digest, counts).limit(1)
            if self.connection.execute(query).first() is not None:
                return True
        return False

    def unused_contents(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Those of the digests that nothing of the customer refers to: no message, step, upload or copy for undoing."""
        unused: list[Digest] = []
        wanted = list(dict.fromkeys(digests))
        for start in range(0, len(wanted), AT_A_TIME):
            some = wanted[start : start + AT_A_TIME]
            used: set[str] = set()
            for table in (uses, workspace_contents, memory_undo):
                query = select(table.c.digest).where(table.c.customer == customer, table.c.digest.in_(some)).distinct()
                used.update(self.connection.execute(query).scalars())
            unused += [digest for digest in some if digest not in used]
        return unused
