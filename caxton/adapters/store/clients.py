"""Queries on what clients of other protocols are given."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql, sqlite

from caxton.adapters.store import clock
from caxton.adapters.store.schema_clients import client_tasks, server_secrets
from caxton.adapters.store.session import Session, in_scope, scoped
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records.clients import ClientTask


class ClientQueries(Session):
    """Secrets that sign what clients hold, and tasks of clients."""

    def server_secret(self, name: str) -> str | None:
        """The secret of that name, if one was made."""
        return self.connection.execute(select(server_secrets.c.value).where(server_secrets.c.name == name)).scalar()

    def offer_server_secret(self, name: str, value: str) -> str:
        """Keeps `value` unless there is a secret of that name; returns the one that counts."""
        is_postgres = self.connection.dialect.name == "postgresql"
        insert = (postgresql.insert if is_postgres else sqlite.insert)(server_secrets)
        self.connection.execute(insert.values(name=name, value=value).on_conflict_do_nothing())
        found = self.server_secret(name)
        assert found is not None
        return found

    def add_client_task(self, scope: Scope, task: ClientTask) -> None:
        """Remembers that an execution is a task; once."""
        if self.client_task(scope, task.execution_id) is None:
            row = scoped(
                scope,
                execution_id=task.execution_id,
                principal=task.principal,
                created_at=clock.from_datetime(task.created_at),
            )
            self.connection.execute(client_tasks.insert(), row)

    def client_task(self, scope: Scope, execution_id: ExecutionId) -> ClientTask | None:
        """The task that an execution is, if somebody began it as one."""
        query = select(client_tasks).where(in_scope(client_tasks, scope), client_tasks.c.execution_id == execution_id)
        row = self.connection.execute(query).first()
        return _task(row) if row else None

    def client_tasks(self, scope: Scope, principal: str, *, before: datetime | None, limit: int) -> list[ClientTask]:
        """Tasks that `principal` began, the latest first."""
        query = select(client_tasks).where(in_scope(client_tasks, scope), client_tasks.c.principal == principal)
        if before is not None:
            query = query.where(client_tasks.c.created_at < clock.from_datetime(before))
        query = query.order_by(client_tasks.c.created_at.desc(), client_tasks.c.execution_id).limit(limit)
        return [_task(row) for row in self.connection.execute(query)]


def _task(row: Row[Any]) -> ClientTask:
    return ClientTask(ExecutionId(row.execution_id), row.principal, clock.to_datetime(row.created_at))
