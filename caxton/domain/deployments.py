"""Deployments: a workspace's definitions brought to the server, all or nothing."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.ids import DeploymentId, Digest, digest_of
from caxton.domain.lifecycle import StateMachine


class DeploymentState(StrEnum):
    """States of a deployment (architecture 1.0, "Deployment and Versioning")."""

    VALIDATING = "Validating"
    DEPLOYING = "Deploying"
    RUNNING = "Running"
    DRAINING = "Draining"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"


DEPLOYMENT_LIFECYCLE = StateMachine(
    "deployment",
    DeploymentState,
    {
        DeploymentState.VALIDATING: {DeploymentState.DEPLOYING, DeploymentState.FAILED},
        DeploymentState.DEPLOYING: {DeploymentState.RUNNING, DeploymentState.FAILED, DeploymentState.ROLLED_BACK},
        DeploymentState.RUNNING: {DeploymentState.DRAINING, DeploymentState.ROLLED_BACK},
        DeploymentState.DRAINING: {DeploymentState.RUNNING, DeploymentState.ROLLED_BACK},
    },
)


class Bundle(BaseModel):
    """An agent or a tool as files: paths below its folder, and the content address of each."""

    kind: Literal["agent", "tool"]
    name: str
    files: dict[str, Digest] = Field(max_length=500)
    """agent: "NAME.toml" and perhaps its script; tool: "tool.toml", the module, bundled folders."""

    @property
    def digest(self) -> Digest:
        """The content address of the whole: it changes when any file or path does."""
        lines = [f"{self.kind} {self.name}"] + [f"{path} {digest}" for path, digest in sorted(self.files.items())]
        return digest_of("\n".join(lines).encode())


class DeploymentRequest(BaseModel):
    """What a client wants deployed. Bundles that are not named stay as they are, unless `prune` is set."""

    model_config = ConfigDict(extra="forbid")

    bundles: list[Bundle] = Field(max_length=20_000)
    prune: bool = False
    """Remove what the workspace on the server has and the request does not."""
    message: str = Field(default="", max_length=500)


class Change(BaseModel):
    """One difference between a workspace and the server."""

    kind: Literal["agent", "tool"]
    name: str
    action: Literal["new", "modified", "deleted", "unchanged"]
    digest: Digest | None = None
    """The new content; None when it is removed."""
    before: str | None = None
    """The version that is deployed."""
    after: str | None = None
    """The version that would be."""
    last_deployed: datetime | None = None
    capabilities: list[str] = []


class DeploymentPlan(BaseModel):
    """What a deployment would do, and which content the server still lacks."""

    changes: list[Change]
    missing: list[Digest]


class DeploymentSummary(BaseModel):
    """Counts of agents and tools by what happened to them."""

    deployed: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0


class Deployment(BaseModel):
    """A deployment as views show it."""

    id: DeploymentId
    state: DeploymentState
    message: str = ""
    actor: str = ""
    changes: list[Change] = []
    summary: DeploymentSummary = DeploymentSummary()
    error: dict[str, Any] | None = None
    """The :class:`caxton.domain.errors.ErrorReport` of a failed deployment."""
    rollback_of: DeploymentId | None = None
    created_at: datetime
    finished_at: datetime | None = None


def compare(
    wanted: dict[tuple[str, str], Digest], present: dict[tuple[str, str], Digest]
) -> dict[tuple[str, str], str]:
    """What happens to each (kind, name) when `wanted` replaces `present`: new, modified, deleted or unchanged."""
    actions: dict[tuple[str, str], str] = {}
    for key, digest in wanted.items():
        actions[key] = "new" if key not in present else "unchanged" if present[key] == digest else "modified"
    for key in present:
        if key not in wanted:
            actions[key] = "deleted"
    return actions
