"""The events of deployments."""

from collections.abc import Sequence
from typing import Any

from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.deployments import Change, DeploymentRequest
from caxton.domain.errors import ErrorReport
from caxton.domain.events import SYSTEM, Event, Payload
from caxton.domain.events.deployments import (
    AgentActive,
    AgentConfigUpdated,
    AgentDeploymentFailed,
    AgentStopped,
    ConfigValidationResult,
    DeploymentActivated,
    DeploymentConfigured,
    DeploymentCreated,
    DeploymentFailed,
    DeploymentTerminated,
    DeploymentUpdated,
    SkillsAvailable,
    VersionRolledBack,
    VersionUpgraded,
)
from caxton.domain.events.schedules import ScheduleDeployed, ScheduleRemoved
from caxton.domain.events.system import CommandAcknowledged, ProgressUpdate
from caxton.domain.events.tools import McpDeploymentFailed, McpToolDeployed, McpToolUndeployed
from caxton.domain.events.triggers import TriggerDeployed, TriggerRemoved
from caxton.domain.ids import DeploymentId, Scope
from caxton.domain.origin import Origin
from caxton.domain.schedules import Schedule
from caxton.domain.surfaces import surface_of
from caxton.domain.tools import ToolVersion
from caxton.domain.triggers import Trigger
from caxton.recording import journal
from caxton.recording.contents import hash_of

PROBLEMS_TOLD = 20
"""Problems of one file that the log lists; the rest is a number."""

Version = AgentVersion | ToolVersion


class DeploymentNotes:
    """Gathers events of one deployment."""

    def __init__(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        actor: str = SYSTEM,
        origin: Origin | None = None,
        occasion: str = "",
    ) -> None:
        """Tell what `actor` did; `occasion` tells apart what happens to one deployment several times."""
        self.occasion = occasion
        self.scope = scope
        self.deployment_id = deployment_id
        self.actor = actor
        self.origin = origin
        self.events: list[Event] = []

    def add(self, payload: Payload, part: str = "", *, agent: str | None = None, error_code: str | None = None) -> None:
        """Notes a fact; `part` tells apart several of one type."""
        self.events.append(
            journal.note(
                self.scope,
                payload,
                self.deployment_id,
                f"{part} {self.occasion}" if self.occasion else part,
                actor=self.actor,
                origin=self.origin,
                agent=agent,
                deployment_id=self.deployment_id,
                error_code=error_code,
            )
        )

    def configured(self, changes: Sequence[Change]) -> None:
        """All definitions are valid."""
        for change in changes:
            if change.action in ("new", "modified"):
                valid = ConfigValidationResult(config_file=f"{change.kind}s/{change.name}", is_valid=True)
                self.add(valid, f"{change.kind}/{change.name}", agent=_agent(change))
        counts = _counts(changes)
        self._progress(50.0, "all definitions are valid")
        self.add(DeploymentConfigured(**counts, unchanged=len(changes) - sum(counts.values())))

    def failed(self, error: ErrorReport) -> None:
        """Nothing was changed, and why."""
        problems: list[dict[str, object]] = error.details.get("problems", [])
        by_file: dict[str, list[dict[str, object]]] = {}
        for problem in problems:
            if problem.get("severity", "error") == "error":
                by_file.setdefault(str(problem["file"]), []).append(problem)
        for file, found in sorted(by_file.items()):
            told = [
                {key: problem[key] for key in ("line", "column", "message", "hint") if key in problem}
                for problem in found[:PROBLEMS_TOLD]
            ]
            self.add(
                ConfigValidationResult(config_file=file, is_valid=False, error_count=len(found), errors=told),
                file,
                error_code=error.code,
            )
            folder, _, rest = file.partition("/")
            name, reason = rest.partition("/")[0].partition(".")[0], str(found[0]["message"])
            if folder == "agents":
                self.add(AgentDeploymentFailed(name=name, reason=reason), file, agent=name, error_code=error.code)
            elif folder == "tools":
                self.add(McpDeploymentFailed(name=name, reason=reason), file, error_code=error.code)
        failed = DeploymentFailed(
            reason=error.code,
            user_message=error.message,
            suggested_actions=[hint.text for hint in error.hints],
        )
        self.add(failed, error_code=error.code)

    def activated(self, changes: Sequence[Change], *, rollback: bool) -> None:
        """All changes are live."""
        self.add(DeploymentActivated(**_counts(changes)))
        self._progress(100.0, "all changes are live")
        for change in changes:
            if change.action == "unchanged" or change.rollout is not None:
                continue
            part, agent = f"{change.kind}/{change.name}", _agent(change)
            facts: dict[str, Any] = {
                "kind": change.kind,
                "name": change.name,
                "before": change.before,
                "after": change.after,
            }
            if change.action == "deleted":
                ended = DeploymentTerminated(kind=change.kind, name=change.name, version=change.before)
                self.add(ended, part, agent=agent)
                continue
            model = VersionRolledBack if rollback else VersionUpgraded
            self.add(model(**facts, digest=change.digest), part, agent=agent)
            if change.action == "modified":
                self.add(DeploymentUpdated(**facts), part, agent=agent)

    def created(self, request: DeploymentRequest, rollback_of: DeploymentId | None) -> None:
        """Somebody asked for it."""
        acknowledged = CommandAcknowledged(
            command="rollback" if rollback_of else "deploy",
            initial_feedback=f"{len(request.bundles)} definitions are being checked",
        )
        self.add(acknowledged)
        created = DeploymentCreated(
            bundles=len(request.bundles), prune=request.prune, message=request.message, rollback_of=rollback_of
        )
        self.add(created)

    def _progress(self, percent: float, step: str) -> None:
        told = ProgressUpdate(operation=f"deployment {self.deployment_id}", percent_complete=percent, current_step=step)
        self.add(told, f"{percent:.0f}")

    def agent(self, before: AgentVersion | None, after: AgentVersion | None, skills: int) -> None:
        """An agent went live, changed, or left; `skills` counts the workspace's capabilities from now on."""
        version = after or before
        assert version is not None
        name, part = version.name, f"agent/{version.name}"
        had = {c.name for c in before.spec.capabilities} if before else set[str]()
        has = {c.name for c in after.spec.capabilities} if after else set[str]()
        if after is None:
            self.add(AgentStopped(name=name, reason="removed by a deployment"), part, agent=name)
        else:
            spec = after.spec
            if before is not None:
                updated = AgentConfigUpdated(
                    name=name,
                    previous_version=before.spec.version,
                    new_version=spec.version,
                    previous_digest=before.digest,
                    new_digest=after.digest,
                    changes=_differences(before, after),
                )
                self.add(updated, part, agent=name)
            active = AgentActive(
                name=name,
                version=spec.version,
                digest=after.digest,
                capabilities=[{"name": c.name, "version": c.version} for c in spec.capabilities],
                tools=spec.tools,
                model=spec.models,
                prompt_hash=hash_of(spec.system_prompt),
                template_params=sorted(spec.parameters),
                deployed_by=self.actor,
            )
            self.add(active, part, agent=name)
        if had != has:
            available = SkillsAvailable(
                name=name,
                skills_added=sorted(has - had),
                skills_removed=sorted(had - has),
                total_system_skills=skills,
            )
            self.add(available, part, agent=name)

    def schedules(self, agent: str, changed: Sequence[Schedule], gone: Sequence[str]) -> None:
        """Schedules of an agent went live, changed, or left."""
        for each in changed:
            told = ScheduleDeployed(
                schedule=each.name,
                timing=each.timing,
                overlap=each.overlap,
                catch_up_s=each.catch_up,
                paused=each.paused,
            )
            self.add(told, f"schedule/{agent}/{each.name}", agent=agent)
        for name in gone:
            self.add(ScheduleRemoved(schedule=name), f"schedule/{agent}/{name}", agent=agent)

    def triggers(self, agent: str, changed: Sequence[Trigger], gone: Sequence[str]) -> None:
        """Triggers of an agent went live, changed, or left."""
        for each in changed:
            told = TriggerDeployed(trigger=each.name, scheme=each.scheme, events=each.events)
            self.add(told, f"trigger/{agent}/{each.name}", agent=agent)
        for name in gone:
            self.add(TriggerRemoved(trigger=name), f"trigger/{agent}/{name}", agent=agent)

    def tool(self, before: ToolVersion | None, after: ToolVersion | None, ungranted: Sequence[str] = ()) -> None:
        """A tool may be called, or is gone; `ungranted` is what it requests and nobody has granted."""
        version = after or before
        assert version is not None
        part = f"tool/{version.name}"
        if after is None:
            self.add(McpToolUndeployed(name=version.name, version=version.manifest.version), part)
            return
        manifest = after.manifest
        deployed = McpToolDeployed(
            name=after.name,
            version=manifest.version,
            wasm_hash=after.module_digest,
            max_memory_mb=round(manifest.limits.memory / (1 << 20), 2),
            max_fuel=manifest.limits.fuel,
            max_execution_time_s=manifest.limits.wall_time,
            capabilities=[function.name for function in after.functions],
            network=manifest.requested.network,
            environment=manifest.requested.environment,
            files=[f"{grant.at}{' (write)' if grant.write else ''}" for grant in manifest.permissions.files],
            ungranted=list(ungranted),
            sandboxed=manifest.is_sandboxed,
            server=manifest.unsandboxed,
            surface=surface_of(after.functions) if manifest.mcp_server else None,
        )
        self.add(deployed, part)


def _agent(change: Change) -> str | None:
    return change.name if change.kind == "agent" else None


def _counts(changes: Sequence[Change]) -> dict[str, Any]:
    return {action: sum(change.action == action for change in changes) for action in ("new", "modified", "deleted")}


def _differences(before: AgentVersion, after: AgentVersion) -> list[str]:
    """Names of the settings that differ; never their values, which may be prompts."""
    found = [name for name in AgentSpec.model_fields if getattr(before.spec, name) != getattr(after.spec, name)]
    return found + (["script (rules)"] if before.script != after.script else [])
