"""Deployments: a workspace's definitions brought to the server, all or nothing."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.errors import Hint, InvalidState
from caxton.domain.given import GivenDigest, GivenPath, colliding_paths, wrong_path
from caxton.domain.grants import Missing
from caxton.domain.ids import DeploymentId, Digest, Name, derived_id, digest_of, is_digest, is_name
from caxton.domain.lifecycle import StateMachine
from caxton.domain.rollouts import Strategy
from caxton.domain.state_words import in_words


class DeploymentState(StrEnum):
    """States of a deployment (architecture 1.0, "Deployment and Versioning")."""

    VALIDATING = "Validating"
    DEPLOYING = "Deploying"
    RUNNING = "Running"
    DRAINING = "Draining"
    """None of its versions is live any more, and some have work in progress."""
    SUPERSEDED = "Superseded"
    """Later deployments replaced all that it brought."""
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"


DEPLOYMENT_LIFECYCLE = StateMachine(
    "deployment",
    DeploymentState,
    {
        DeploymentState.VALIDATING: {DeploymentState.DEPLOYING, DeploymentState.FAILED},
        DeploymentState.DEPLOYING: {DeploymentState.RUNNING, DeploymentState.FAILED, DeploymentState.ROLLED_BACK},
        DeploymentState.RUNNING: {
            DeploymentState.DRAINING,
            DeploymentState.SUPERSEDED,
            DeploymentState.ROLLED_BACK,
        },
        DeploymentState.DRAINING: {
            DeploymentState.RUNNING,
            DeploymentState.SUPERSEDED,
            DeploymentState.ROLLED_BACK,
        },
        DeploymentState.SUPERSEDED: {DeploymentState.RUNNING, DeploymentState.ROLLED_BACK},
        DeploymentState.ROLLED_BACK: {DeploymentState.RUNNING},  # its rollout is retried
    },
)


UNFINISHED = (DeploymentState.VALIDATING, DeploymentState.DEPLOYING)


def deployment_id(customer: str, workspace: str, idempotency_key: str) -> DeploymentId:
    """The id of the deployment that a request with an idempotency key stands for."""
    return DeploymentId(derived_id("d", customer, workspace, idempotency_key))


LONGEST_MESSAGE = 500
"""Characters of why something is deployed."""

MOST_FILES = 500
"""Files of one agent or tool."""

MOST_BUNDLES = 20_000
"""Agents and tools of one deployment."""


class Bundle(BaseModel):
    """An agent or a tool as files: paths below its folder, and the content address of each.

    As it is kept: also what an older version let in can be read. What may come in is a :class:`GivenBundle`.
    """

    kind: Literal["agent", "tool"]
    name: str
    files: dict[str, Digest] = Field(max_length=MOST_FILES)
    """agent: "NAME.toml" and perhaps its script; tool: "tool.toml", the module, bundled folders."""

    @property
    def digest(self) -> Digest:
        """The content address of the whole: it changes when any file or path does."""
        lines = [f"{self.kind} {self.name}"] + [f"{path} {digest}" for path, digest in sorted(self.files.items())]
        return digest_of("\n".join(lines).encode())


class GivenBundle(Bundle):
    """A bundle from outside."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    files: dict[GivenPath, GivenDigest] = Field(max_length=MOST_FILES)

    @model_validator(mode="after")
    def _files_can_be_together(self) -> Self:
        found = colliding_paths(self.files)
        if found is not None:
            raise ValueError(_colliding(found))
        return self


def wrong_in(bundle: Bundle) -> str | None:
    """Why `bundle`, which may come from an older version, is none that would be let in today; None if it is."""
    if not is_name(bundle.name):
        return f"the name of the {bundle.kind} is not a valid name"
    for path, digest in bundle.files.items():
        wrong = wrong_path(path)
        if wrong is not None:
            return wrong
        if not is_digest(digest):
            return f'what is given as the content of "{path}" is not a SHA-256 in lower-case hexadecimal digits'
    found = colliding_paths(bundle.files)
    return None if found is None else _colliding(found)


def _colliding(paths: tuple[str, str]) -> str:
    return f'"{paths[0]}" and "{paths[1]}" cannot be in one folder on every file system'


_SHOWN = r"^[^\x00-\x1f\x7f-\x9f]*$"


class DeploymentSource(BaseModel):
    """The folder that definitions are deployed from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=128, pattern=_SHOWN)
    """The same for all copies of one folder: `id` under `[workspace]`; else made of machine and path."""
    place: str = Field(default="", max_length=500, pattern=_SHOWN)
    """Machine and path, for people."""


class DeploymentRequest(BaseModel):
    """What is to be deployed. Bundles that are not named stay as they are, unless `prune` is set."""

    model_config = ConfigDict(extra="forbid")

    bundles: list[Bundle] = Field(max_length=MOST_BUNDLES)
    prune: bool = False
    """Remove what the workspace on the server has and the request does not."""
    message: str = Field(default="", max_length=LONGEST_MESSAGE)
    source: DeploymentSource | None = None
    strategy: Strategy | None = None
    """How new versions of agents go live, whatever their files say."""
    gate: bool = False
    """Whether recorded turns are replayed against new versions first, where their files name no gate."""


class GivenDeployment(BaseModel):
    """What a client wants deployed. Bundles that are not named stay as they are, unless `prune` is set."""

    model_config = ConfigDict(extra="forbid")

    bundles: list[GivenBundle] = Field(max_length=MOST_BUNDLES)
    prune: bool = False
    """Remove what the workspace on the server has and the request does not."""
    message: str = Field(default="", max_length=LONGEST_MESSAGE, pattern=r"^[^\x00]*$")
    source: DeploymentSource | None = None
    """The folder that it comes from: plans tell of each agent and tool where it was deployed from."""
    strategy: Strategy | None = None
    """How new versions of agents go live (direct, blue_green, canary, shadow), whatever `[rollout]` in their files says."""
    gate: bool = False
    """Replay recorded turns against new versions of agents before they go live, where their files name no gate."""

    @property
    def request(self) -> DeploymentRequest:
        """What it asks for."""
        return DeploymentRequest(
            bundles=[*self.bundles],
            prune=self.prune,
            message=self.message,
            source=self.source,
            strategy=self.strategy,
            gate=self.gate,
        )


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
    deployment_id: DeploymentId | None = None
    """In a plan: the deployment that made the present version live."""
    source: DeploymentSource | None = None
    """In a plan: the folder that the present version comes from, where that is known."""
    rollout: str | None = None
    """The rollout that began in place of making it live at once."""
    strategy: Strategy | None = None
    """Of that rollout."""
    ends: str | None = None
    """The candidate's version of a rollout that was under way, and that this ended."""
    capabilities: list[str] = []
    ungranted: list[str] = []
    """What a tool requests and nobody has granted: it runs without."""
    grant: str | None = None
    """The command by which an operator grants that."""
    unsandboxed: str | None = None
    """Where a tool's MCP server is, which runs outside of the sandbox: a URL or a command line."""
    suggestions: list[str] = []
    """What is worth a thought, such as calls without approval that a server calls destructive."""

    def lacks(self, lacking: Missing) -> None:
        """Tells what is not granted."""
        self.ungranted = lacking.told()
        self.grant = lacking.command(self.name) if lacking else None


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
    becomes: DeploymentState | None = None
    """While it drains: what it is after that."""
    source: DeploymentSource | None = None
    """The folder that it came from, where the client said it."""
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def is_undoable(self) -> bool:
        """Whether it took effect and nobody has undone it."""
        if self.state is DeploymentState.DRAINING:
            return self.becomes is not DeploymentState.ROLLED_BACK
        return self.state in (DeploymentState.RUNNING, DeploymentState.SUPERSEDED)


def not_undoable(deployment_id: DeploymentId, state: DeploymentState) -> InvalidState:
    """The error for a rollback of a deployment that is not in force: it failed, or somebody has undone it."""
    undone = state in (DeploymentState.ROLLED_BACK, DeploymentState.DRAINING)
    why = "was undone already" if undone else f"is {in_words(state)}"
    return InvalidState(
        f'deployment "{deployment_id}" {why}, so there is nothing to undo',
        Hint(text="see which can be undone", command="caxton deployments"),
        details={"deployment": deployment_id, "state": state},
    )


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
