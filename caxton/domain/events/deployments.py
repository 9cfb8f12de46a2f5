"""Deployments, versions and agents (Aximo event model, 3.5; Caxton event model, phase 2)."""

from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from caxton.domain.events.payload import Category, Payload


class DeploymentEvent(Payload):
    """What happened to a deployment."""

    category: ClassVar[Category] = "deployment"


class DeploymentCreated(DeploymentEvent):
    """A deployment was requested."""

    sentence: ClassVar[str] = "deployment requested: {bundles:definition}"
    bundles: int
    prune: bool = False
    message: str = ""
    rollback_of: str | None = None


class DeploymentConfigured(DeploymentEvent):
    """All its definitions were found valid; nothing is live yet."""

    sentence: ClassVar[str] = "all definitions are valid"
    new: int = 0
    modified: int = 0
    deleted: int = 0
    unchanged: int = 0


class DeploymentActivated(DeploymentEvent):
    """All its changes went live at once."""

    sentence: ClassVar[str] = "live: {new} new, {modified} modified, {deleted} removed"
    new: int = 0
    modified: int = 0
    deleted: int = 0


class DeploymentUpdated(DeploymentEvent):
    """An agent or tool of an earlier deployment was replaced by this one."""

    sentence: ClassVar[str] = '{kind} "{name}": {before} → {after}'
    kind: str
    name: str
    before: str | None = Field(
        default=None, validation_alias=AliasChoices("from", "before"), serialization_alias="from"
    )
    after: str | None = Field(default=None, validation_alias=AliasChoices("to", "after"), serialization_alias="to")


class DeploymentTerminated(DeploymentEvent):
    """An agent or tool was removed."""

    sentence: ClassVar[str] = '{kind} "{name}" was removed'
    kind: str
    name: str
    version: str | None = None


class DeploymentFailed(DeploymentEvent):
    """Nothing was changed."""

    sentence: ClassVar[str] = "nothing was deployed: {reason}"
    reason: str
    user_message: str = ""
    suggested_actions: list[str] = []


class DeploymentDraining(DeploymentEvent):
    """Nothing of a deployment is live any more, and versions that it brought finish what they have in progress."""

    sentence: ClassVar[str] = "drains, and is {becomes} after that"
    becomes: str
    """Superseded or RolledBack."""


class DeploymentSuperseded(DeploymentEvent):
    """Later deployments replaced all that it brought, and nothing of it is at work."""

    sentence: ClassVar[str] = "superseded by later deployments"


class DeploymentRolledBack(DeploymentEvent):
    """It was undone, and nothing of it is at work."""

    sentence: ClassVar[str] = "rolled back"


class VersionDraining(DeploymentEvent):
    """A version that is not live any more finishes what it has in progress."""

    sentence: ClassVar[str] = '{kind} "{name}" {version} drains'
    kind: str
    name: str
    version: str
    digest: str
    turns: int = 0
    """Executions in progress."""
    conversations: int = 0
    """Conversations that began with it and may go on."""
    calls: int = 0
    """Calls of a tool without a result."""


class VersionDrained(VersionDraining):
    """A version that was replaced has nothing in progress any more, or its time has passed; the counts tell what is left."""

    sentence: ClassVar[str] = '{kind} "{name}" {version} is drained: {reason}'
    reason: str
    """finished, time_passed, or live_again."""


class DeploymentSuspended(DeploymentEvent):
    """An agent takes no more work until an operator resumes it."""

    sentence: ClassVar[str] = '"{name}" takes no work: {reason}'
    name: str
    reason: str
    breaches: int = 0


class DeploymentResumed(DeploymentEvent):
    """An operator let an agent take work again."""

    sentence: ClassVar[str] = '"{name}" takes work again'
    name: str
    reason: str = ""


class VersionUpgraded(DeploymentEvent):
    """A version went live."""

    sentence: ClassVar[str] = '{kind} "{name}" is now {after}'
    kind: str
    name: str
    digest: str | None = None
    before: str | None = Field(
        default=None, validation_alias=AliasChoices("from", "before"), serialization_alias="from"
    )
    after: str | None = Field(default=None, validation_alias=AliasChoices("to", "after"), serialization_alias="to")


class VersionRolledBack(VersionUpgraded):
    """An earlier version went live again."""

    sentence: ClassVar[str] = '{kind} "{name}" is back at {after}'


class AgentEvent(Payload):
    """What happened to an agent."""

    category: ClassVar[Category] = "agent"


class AgentCreatedFromTemplate(AgentEvent):
    """An agent was created from a template."""

    sentence: ClassVar[str] = 'agent "{agent_name}" was made from template {template_id}'
    agent_name: str
    template_id: str
    template_name: str = ""
    customizations_applied: dict[str, Any] = {}
    files_generated: list[str] = []
    creation_time_ms: float = 0.0


class AgentActive(AgentEvent):
    """An agent takes work."""

    sentence: ClassVar[str] = 'agent "{name}" is ready to handle requests'
    name: str
    version: str
    digest: str
    capabilities: list[dict[str, str]] = []
    tools: list[str] = []
    model: list[str] = []
    prompt_hash: str | None = None
    """Of the system prompt; the prompt itself is in the version of that digest."""
    template_params: list[str] = []
    """Names of the parameters that its templates may use."""
    deployed_by: str | None = None
    from_template: str | None = None


class AgentDeploymentFailed(AgentEvent):
    """An agent was not deployed."""

    sentence: ClassVar[str] = 'agent "{name}" was not deployed: {reason}'
    name: str
    reason: str


class SkillsAvailable(AgentEvent):
    """The capabilities of a workspace changed."""

    sentence: ClassVar[str] = "the capabilities changed"
    name: str
    skills_added: list[str] = []
    skills_removed: list[str] = []
    total_system_skills: int = 0


class AgentConfigUpdated(AgentEvent):
    """An agent's definition was replaced without stopping it."""

    sentence: ClassVar[str] = 'agent "{name}": {previous_version} → {new_version}'
    name: str
    previous_version: str | None = None
    new_version: str
    previous_digest: str | None = None
    new_digest: str
    changes: list[str] = []
    """Names of the settings that differ."""
    hot_reloaded: bool = True


class ConfigValidationResult(AgentEvent):
    """A definition was checked."""

    sentence: ClassVar[str] = "{config_file}: {error_count:problem}"
    config_file: str
    is_valid: bool
    error_count: int = 0
    errors: list[dict[str, Any]] = []
    """Line, column, message and suggested fix of each (the first 20)."""


class AgentStateChanged(AgentEvent):
    """An agent went on in its lifecycle."""

    sentence: ClassVar[str] = '"{name}": {before} → {state}'
    name: str
    before: str | None = None
    state: str
    reason: str | None = None


class AgentStopped(AgentEvent):
    """An agent takes no more work."""

    sentence: ClassVar[str] = 'agent "{name}" stopped'
    name: str
    reason: str
    graceful: bool = True


class AgentHealthChecked(AgentEvent):
    """An agent that is not well was restarted or stopped, or is well again."""

    sentence: ClassVar[str] = '"{name}": {status} {reason}'
    name: str
    status: str
    """Restarted, Stopped or Healthy: told when it changes, not at each look."""
    restarts: int = 0
    """How often it was restarted since it was well."""
    reason: str = ""
    """Code of what is wrong."""
