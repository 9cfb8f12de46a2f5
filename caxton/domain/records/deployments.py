"""The records port: deployments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.deployments import (
    Bundle,
    Change,
    Deployment,
    DeploymentRequest,
    DeploymentState,
)
from caxton.domain.errors import ErrorReport
from caxton.domain.ids import DeploymentId, Scope


@dataclass(frozen=True, slots=True)
class BegunDeployment:
    """A deployment as it was asked for."""

    scope: Scope
    id: DeploymentId
    request: DeploymentRequest
    actor: str
    rollback_of: DeploymentId | None
    is_latest: bool
    """Whether nobody has asked for another deployment of the workspace since."""


class DeploymentRecords(Protocol):
    """Deployments."""

    def add_deployment(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        request: DeploymentRequest,
        *,
        actor: str,
        rollback_of: DeploymentId | None,
    ) -> bool: ...
    def deployment(self, scope: Scope, deployment_id: DeploymentId) -> Deployment | None: ...
    def deployments(self, scope: Scope, limit: int) -> list[Deployment]: ...
    def begun_deployment(self, scope: Scope, deployment_id: DeploymentId) -> BegunDeployment | None: ...
    def unfinished_deployments(self, before: datetime, limit: int) -> list[BegunDeployment]: ...
    def deployment_before(self, scope: Scope, deployment_id: DeploymentId) -> list[Bundle] | None: ...
    def set_deployment(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        state: DeploymentState,
        *,
        changes: Sequence[Change] | None = None,
        before: Sequence[Bundle] | None = None,
        error: ErrorReport | None = None,
        becomes: DeploymentState | None = None,
    ) -> None: ...
    def replaced_deployments(self, scope: Scope, *, but: DeploymentId, limit: int) -> list[DeploymentId]: ...
