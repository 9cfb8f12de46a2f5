"""Queries on configurations of push notifications."""

from sqlalchemy import ColumnElement, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import deadlines
from caxton.adapters.store.schema_push import push_configs
from caxton.adapters.store.session import Session, in_scope, scoped
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.push import PushConfig


class PushQueries(Session):
    """Where changes of tasks are pushed."""

    def push_configs(self, scope: Scope, execution_id: ExecutionId) -> list[PushConfig]:
        """All configurations of a task, by their ids."""
        query = select(push_configs.c.document).where(*_of(scope, execution_id)).order_by(push_configs.c.config_id)
        return [PushConfig.model_validate_json(text) for text in self.connection.execute(query).scalars()]

    def put_push_config(self, scope: Scope, execution_id: ExecutionId, config: PushConfig) -> None:
        """Keeps a configuration, in place of the one with its id if there is one."""
        document = config.model_dump_json(exclude_defaults=True)
        is_it = (*_of(scope, execution_id), push_configs.c.config_id == config.id)
        if not self.connection.execute(push_configs.update().where(*is_it).values(document=document)).rowcount:
            row = scoped(scope, execution_id=execution_id, config_id=config.id, document=document)
            self.connection.execute(push_configs.insert(), row)

    def remove_push_config(self, scope: Scope, execution_id: ExecutionId, config_id: str) -> bool:
        """Forgets one; False where there is none."""
        is_it = (*_of(scope, execution_id), push_configs.c.config_id == config_id)
        return bool(self.connection.execute(push_configs.delete().where(*is_it)).rowcount)

    def remove_push_configs(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Forgets all of a task."""
        self.connection.execute(push_configs.delete().where(*_of(scope, execution_id)))

    def wake_push(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Has it looked at once whether somebody is to be told how a task stands."""
        if self.prepared:
            return  # it begins in this transaction: nobody can have asked yet
        is_it = (in_scope(deadlines, scope), deadlines.c.execution_id == execution_id, deadlines.c.kind == "push")
        self.connection.execute(deadlines.update().where(*is_it).values(due_at=clock.now()))


def _of(scope: Scope, execution_id: ExecutionId) -> tuple[ColumnElement[bool], ...]:
    return in_scope(push_configs, scope), push_configs.c.execution_id == execution_id
