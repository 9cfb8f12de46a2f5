"""The records port: agents and tools as deployed, and the versions of them that there have been."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import (
    Bundle,
    DeploymentSource,
)
from caxton.domain.ids import DeploymentId, Digest, Scope
from caxton.domain.tools import ToolVersion

ComponentKind = Literal["agent", "tool"]


@dataclass(frozen=True, slots=True)
class Component:
    """An agent or a tool as deployed now."""

    kind: ComponentKind
    name: str
    digest: Digest
    version: str
    state: str
    reason: str | None
    deployment_id: DeploymentId | None
    updated_at: datetime
    suspended: str | None = None
    """Why it takes no work, though its state would let it."""


class ComponentRecords(Protocol):
    """Agents and tools as deployed, and the versions of them that there have been."""

    def generation(self, scope: Scope) -> int: ...
    def bump_generation(self, scope: Scope) -> None: ...
    def components(self, scope: Scope, kind: ComponentKind | None = None) -> list[Component]: ...
    def changed_components(
        self, scope: Scope, since: int, limit: int
    ) -> dict[tuple[ComponentKind, str], Component | None]: ...
    def component(self, scope: Scope, kind: ComponentKind, name: str) -> Component | None: ...
    def component_sources(self, scope: Scope) -> dict[tuple[str, str], DeploymentSource]: ...
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
    ) -> None: ...
    def set_component_state(
        self, scope: Scope, kind: ComponentKind, name: str, state: str, reason: str | None
    ) -> bool: ...
    def remove_component(self, scope: Scope, kind: ComponentKind, name: str) -> None: ...
    def suspend_component(self, scope: Scope, kind: ComponentKind, name: str, reason: str | None) -> bool: ...
    def bump_generations(self, customer: str) -> None: ...
    def put_version(
        self,
        scope: Scope,
        kind: ComponentKind,
        bundle: Bundle,
        definition: AgentVersion | ToolVersion,
        deployment_id: DeploymentId | None = None,
    ) -> None: ...
    def put_functions(self, scope: Scope, version: ToolVersion) -> None: ...
    def version_deployment(self, scope: Scope, kind: ComponentKind, digest: Digest) -> DeploymentId | None: ...
    def versions_of(self, scope: Scope, kind: ComponentKind, name: str) -> list[tuple[str, Digest]]: ...
    def agent_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, AgentVersion]: ...
    def tool_versions(self, scope: Scope, digests: Sequence[Digest]) -> dict[Digest, ToolVersion]: ...
    def bundle(self, scope: Scope, kind: ComponentKind, digest: Digest) -> Bundle | None: ...

    def workspaces(self, customer: str) -> list[str]: ...
