"""What a deployment amounts to: the workspace before, the workspace after, and the difference."""

from dataclasses import dataclass

from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import Bundle, Change, DeploymentRequest, compare
from caxton.domain.ids import Digest, Scope
from caxton.domain.records import Component, Transaction
from caxton.domain.rollouts import MOST_ROLLOUTS, Strategy
from caxton.domain.tools import ToolVersion


@dataclass
class Release:
    """The outcome of applying a request to what is deployed."""

    before: list[Bundle]
    """Everything that is deployed now: what a rollback restores."""
    changed: list[Bundle]
    """Bundles that are new or modified."""
    kept: list[Component]
    """Components that stay as they are."""
    changes: list[Change]
    kept_agents: dict[Digest, AgentVersion]
    kept_tools: dict[Digest, ToolVersion]
    replaced_agents: dict[str, AgentVersion]
    """Live versions of agents that are modified."""
    strategy: Strategy | None = None
    """How new versions go live, whatever their files say."""
    gate: bool = False
    """Whether recorded turns are replayed first."""

    @property
    def contents(self) -> list[Digest]:
        """Addresses of all files of what is new or modified, each once."""
        return list(dict.fromkeys(digest for bundle in self.changed for digest in bundle.files.values()))


def read_release(transaction: Transaction, scope: Scope, request: DeploymentRequest) -> Release:
    """Compares `request` with what is deployed. Without `prune`, what the request does not name stays."""
    components: dict[tuple[str, str], Component] = {(c.kind, c.name): c for c in transaction.components(scope)}
    present: dict[tuple[str, str], Digest] = {key: component.digest for key, component in components.items()}
    bundles = {(bundle.kind, bundle.name): bundle for bundle in request.bundles}
    wanted: dict[tuple[str, str], Digest] = {key: bundle.digest for key, bundle in bundles.items()}
    if not request.prune:
        wanted = {**present, **wanted}
    actions = compare(wanted, present)
    for rollout in transaction.rollouts(scope, live=True, limit=MOST_ROLLOUTS):
        key = ("agent", rollout.agent)
        if wanted.get(key) == rollout.candidate and actions.get(key) == "modified":
            actions[key] = "unchanged"  # it is on its way already
    changes: list[Change] = []
    for key, action in sorted(actions.items(), key=lambda item: (item[0][0] != "tool", item[0])):
        component = components.get(key)
        change = {
            "kind": key[0],
            "name": key[1],
            "action": action,
            "digest": wanted.get(key),
            "before": component.version if component else None,
            "last_deployed": component.updated_at if component else None,
            "deployment_id": component.deployment_id if component else None,
        }
        changes.append(Change.model_validate(change))
    before = [
        found
        for component in components.values()
        if (found := transaction.bundle(scope, component.kind, component.digest)) is not None
    ]
    kept = [component for key, component in components.items() if actions.get(key) == "unchanged"]
    changed = [bundle for key, bundle in bundles.items() if actions[key] in ("new", "modified")]
    agents = transaction.agent_versions(scope, [c.digest for c in kept if c.kind == "agent"])
    tools = transaction.tool_versions(scope, [c.digest for c in kept if c.kind == "tool"])
    replaced = [components[key].digest for key, action in actions.items() if action == "modified" and key[0] == "agent"]
    modified = {version.name: version for version in transaction.agent_versions(scope, replaced).values()}
    return Release(before, changed, kept, changes, agents, tools, modified, request.strategy, request.gate)
