"""Queries on versions and components: what is deployed."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, and_, bindparam, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import component_changes, components, generations, versions
from caxton.adapters.store.session import Session, from_json, given, in_scope, scope_given, scoped, to_json
from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import Bundle
from caxton.domain.ids import DeploymentId, Digest, Scope
from caxton.domain.records import Component, ComponentKind
from caxton.domain.tools import ToolVersion

_GENERATIONS = select(generations.c.generation, generations.c.breakers).where(scope_given(generations))
_COMPONENT = select(components).where(
    scope_given(components), components.c.kind == bindparam("kind"), components.c.name == bindparam("name")
)
_OTHERS = [column for column in components.c if column.name not in ("customer", "workspace", "kind", "name")]


@lru_cache(maxsize=4096)
def _agent_version(_digest: str, definition: str) -> AgentVersion:
    return AgentVersion.model_validate_json(definition)


@lru_cache(maxsize=2048)
def _tool_version(_digest: str, definition: str) -> ToolVersion:
    return ToolVersion.model_validate_json(definition)


class RegistryQueries(Session):
    """Agents and tools."""

    def generation(self, scope: Scope) -> int:
        """How often the workspace's components have changed. Read once a transaction: a batch asks for every step."""
        return self._generations(scope)[0]

    def breaker_generation(self, scope: Scope) -> int:
        """How often the workspace's circuit breakers have changed: it comes with the other."""
        return self._generations(scope)[1]

    def _generations(self, scope: Scope) -> tuple[int, int]:
        known = self.generations.get(scope)
        if known is None:
            row = self.connection.execute(_GENERATIONS, given(scope)).first()
            known = self.generations[scope] = (row[0], row[1]) if row else (0, 0)
        return known

    def bump_generation(self, scope: Scope) -> None:
        """Tells every index that the components have changed."""
        self.generations.clear()
        changed = self.connection.execute(
            generations.update().where(in_scope(generations, scope)).values(generation=generations.c.generation + 1)
        )
        if not changed.rowcount:
            self.connection.execute(generations.insert(), scoped(scope, generation=1))

    def components(self, scope: Scope, kind: ComponentKind | None = None) -> list[Component]:
        """All components, by kind and name."""
        query = select(components).where(in_scope(components, scope)).order_by(components.c.kind, components.c.name)
        if kind is not None:
            query = query.where(components.c.kind == kind)
        return [_component(row) for row in self.connection.execute(query)]

    def component(self, scope: Scope, kind: ComponentKind, name: str) -> Component | None:
        """The component of that name."""
        row = self.connection.execute(_COMPONENT, given(scope, kind=kind, name=name)).first()
        return _component(row) if row else None

    def put_component(
        self,
        scope: Scope,
        kind: ComponentKind,
        name: str,
        *,
        digest: Digest,
        version: str,
        state: str,
        deployment_id: DeploymentId | None,
    ) -> None:
        """Makes `digest` the active version, in `state`."""
        values: dict[str, Any] = {
            "digest": digest,
            "version": version,
            "state": state,
            "reason": None,
            "deployment_id": deployment_id,
            "updated_at": clock.now(),
        }
        if kind == "agent":
            values["suspended"] = None  # a tool stays in quarantine, whichever version is deployed
        changed = self.connection.execute(
            components.update()
            .where(in_scope(components, scope), components.c.kind == kind, components.c.name == name)
            .values(**values)
        )
        if not changed.rowcount:
            self.connection.execute(components.insert(), scoped(scope, kind=kind, name=name, **values))
        self._note_change(scope, kind, name)

    def set_component_state(self, scope: Scope, kind: ComponentKind, name: str, state: str, reason: str | None) -> bool:
        """Changes the state; False when there is no such component."""
        changed = self.connection.execute(
            components.update()
            .where(in_scope(components, scope), components.c.kind == kind, components.c.name == name)
            .values(state=state, reason=reason, updated_at=clock.now())
        )
        if changed.rowcount:
            self._note_change(scope, kind, name)
        return bool(changed.rowcount)

    def suspend_component(self, scope: Scope, kind: ComponentKind, name: str, reason: str | None) -> bool:
        """Takes it out of work for `reason`, or (None) lets it work again; False when that changes nothing."""
        is_other = components.c.suspended.is_(None) if reason else components.c.suspended.is_not(None)
        changed = self.connection.execute(
            components.update()
            .where(in_scope(components, scope), components.c.kind == kind, components.c.name == name, is_other)
            .values(suspended=reason)
        )
        if changed.rowcount:
            self._note_change(scope, kind, name)
        return bool(changed.rowcount)

    def _note_change(self, scope: Scope, kind: ComponentKind, name: str) -> None:
        """Tells every index that just this component has changed."""
        self.bump_generation(scope)
        generation = self.generation(scope)
        own = in_scope(component_changes, scope), component_changes.c.kind == kind, component_changes.c.name == name
        known = self.connection.execute(component_changes.update().where(*own).values(generation=generation))
        if not known.rowcount:
            row = scoped(scope, kind=kind, name=name, generation=generation)
            self.connection.execute(component_changes.insert(), row)

    def changed_components(
        self, scope: Scope, since: int, limit: int
    ) -> dict[tuple[ComponentKind, str], Component | None]:
        """Components that have changed after a generation; None for those that are gone. At most `limit`, in no order."""
        own = [component_changes.c[name] == components.c[name] for name in ("customer", "workspace", "kind", "name")]
        query = (
            select(component_changes.c.kind, component_changes.c.name, *_OTHERS)
            .outerjoin(components, and_(*own))
            .where(in_scope(component_changes, scope), component_changes.c.generation > since)
            .limit(limit)
        )
        rows = self.connection.execute(query)
        return {(row.kind, row.name): _component(row) if row.digest is not None else None for row in rows}

    def bump_generations(self, customer: str) -> None:
        """Tells every index of the customer that something has changed."""
        self.generations.clear()
        self.connection.execute(
            generations.update()
            .where(generations.c.customer == customer)
            .values(generation=generations.c.generation + 1)
        )

    def version_deployment(self, scope: Scope, kind: ComponentKind, digest: Digest) -> DeploymentId | None:
        """The deployment that brought a version first."""
        query = select(versions.c.deployment_id).where(
            in_scope(versions, scope), versions.c.kind == kind, versions.c.digest == digest
        )
        return self.connection.execute(query).scalar()

    def remove_component(self, scope: Scope, kind: ComponentKind, name: str) -> None:
        """Undeploys it. Its versions stay, for conversations that began with them."""
        self.connection.execute(
            components.delete().where(in_scope(components, scope), components.c.kind == kind, components.c.name == name)
        )
        self._note_change(scope, kind, name)

    def put_version(
        self,
        scope: Scope,
        kind: ComponentKind,
        bundle: Bundle,
        definition: AgentVersion | ToolVersion,
        deployment_id: DeploymentId | None = None,
    ) -> None:
        """Keeps a version. The same content again changes nothing."""
        known = select(versions.c.digest).where(
            in_scope(versions, scope), versions.c.kind == kind, versions.c.digest == bundle.digest
        )
        if self.connection.execute(known).first():
            return
        version = definition.spec.version if isinstance(definition, AgentVersion) else definition.manifest.version
        row = scoped(
            scope,
            kind=kind,
            digest=bundle.digest,
            name=bundle.name,
            version=version,
            files=to_json(bundle.files),
            definition=definition.model_dump_json(),
            deployment_id=deployment_id,
            created_at=clock.now(),
        )
        self.connection.execute(versions.insert(), row)

    def put_functions(self, scope: Scope, version: ToolVersion) -> None:
        """Keeps other functions of a tool's version: what its MCP server offers, and somebody has accepted."""
        self.connection.execute(
            versions.update()
            .where(in_scope(versions, scope), versions.c.kind == "tool", versions.c.digest == version.digest)
            .values(definition=version.model_dump_json())
        )

    def versions_of(self, scope: Scope, kind: ComponentKind, name: str) -> list[tuple[str, Digest]]:
        """All versions of that name that there were, with their digests, the latest first."""
        query = (
            select(versions.c.version, versions.c.digest)
            .where(in_scope(versions, scope), versions.c.kind == kind, versions.c.name == name)
            .order_by(versions.c.created_at.desc())
        )
        return [(row.version, Digest(row.digest)) for row in self.connection.execute(query)]

    def agent_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, AgentVersion]:
        """Those of the versions that exist."""
        return {digest: _agent_version(digest, text) for digest, text in self._definitions(scope, "agent", digests)}

    def tool_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, ToolVersion]:
        """Those of the versions that exist."""
        return {digest: _tool_version(digest, text) for digest, text in self._definitions(scope, "tool", digests)}

    def bundle(self, scope: Scope, kind: ComponentKind, digest: Digest) -> Bundle | None:
        """The files of a version."""
        query = select(versions.c.name, versions.c.files).where(
            in_scope(versions, scope), versions.c.kind == kind, versions.c.digest == digest
        )
        row = self.connection.execute(query).first()
        return Bundle(kind=kind, name=row.name, files=from_json(row.files)) if row else None

    def workspaces(self, customer: str) -> list[str]:
        """Names of the customer's workspaces that hold anything."""
        query = select(components.c.workspace).where(components.c.customer == customer).distinct()
        return sorted(self.connection.execute(query).scalars())

    def count_components(self) -> dict[tuple[str, str], int]:
        """How many components there are by (kind, state), over all customers: for metrics, which name no customer."""
        query = select(components.c.kind, components.c.state, func.count()).group_by(
            components.c.kind, components.c.state
        )
        return {(kind, state): count for kind, state, count in self.connection.execute(query)}

    def _definitions(self, scope: Scope, kind: ComponentKind, digests: Sequence[Digest]) -> list[tuple[Digest, str]]:
        if not digests:
            return []
        query = select(versions.c.digest, versions.c.definition).where(
            in_scope(versions, scope), versions.c.kind == kind, versions.c.digest.in_(digests)
        )
        return [(Digest(digest), text) for digest, text in self.connection.execute(query)]


def _component(row: Row[tuple[object, ...]]) -> Component:
    return Component(
        kind=row.kind,
        name=row.name,
        digest=row.digest,
        version=row.version,
        state=row.state,
        reason=row.reason,
        deployment_id=row.deployment_id,
        suspended=row.suspended,
        updated_at=clock.to_datetime(row.updated_at),
    )
