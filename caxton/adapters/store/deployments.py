"""Queries on deployments."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, and_, exists, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import components, deployments, versions
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.deployments import (
    DEPLOYMENT_LIFECYCLE,
    UNFINISHED,
    Bundle,
    Change,
    Deployment,
    DeploymentRequest,
    DeploymentSource,
    DeploymentState,
    DeploymentSummary,
)
from caxton.domain.errors import ErrorReport
from caxton.domain.ids import DeploymentId, Scope
from caxton.domain.records import BegunDeployment

FINISHED = (DeploymentState.RUNNING, DeploymentState.FAILED, DeploymentState.ROLLED_BACK)


class DeploymentQueries(Session):
    """Deployments."""

    def add_deployment(
        self,
        scope: Scope,
        deployment_id: DeploymentId,
        request: DeploymentRequest,
        *,
        actor: str,
        rollback_of: DeploymentId | None,
    ) -> bool:
        """Records the beginning; False when it is recorded already."""
        known = select(deployments.c.id).where(in_scope(deployments, scope), deployments.c.id == deployment_id)
        if self.connection.execute(known).first():
            return False
        row = scoped(
            scope,
            id=deployment_id,
            state=DeploymentState.VALIDATING,
            message=request.message,
            actor=actor,
            request=to_json(request),
            before="[]",
            changes="[]",
            rollback_of=rollback_of,
            source=to_json(request.source) if request.source else None,
            created_at=clock.now(),
        )
        self.connection.execute(deployments.insert(), row)
        return True

    def deployment(self, scope: Scope, deployment_id: DeploymentId) -> Deployment | None:
        """The deployment of that id."""
        query = select(deployments).where(in_scope(deployments, scope), deployments.c.id == deployment_id)
        row = self.connection.execute(query).first()
        return _deployment(row) if row else None

    def begun_deployment(self, scope: Scope, deployment_id: DeploymentId) -> BegunDeployment | None:
        """The deployment of that id as it was asked for."""
        query = select(deployments).where(in_scope(deployments, scope), deployments.c.id == deployment_id)
        row = self.connection.execute(query).first()
        return self._begun(row) if row else None

    def unfinished_deployments(self, before: datetime, limit: int) -> list[BegunDeployment]:
        """Deployments that were asked for `before` a moment and have not ended, over all customers, oldest first."""
        query = (
            select(deployments)
            .where(deployments.c.state.in_(UNFINISHED), deployments.c.created_at < clock.from_datetime(before))
            .order_by(deployments.c.created_at)
            .limit(limit)
        )
        return [self._begun(row) for row in self.connection.execute(query)]

    def _begun(self, row: Row[tuple[object, ...]]) -> BegunDeployment:
        scope = Scope(customer=row.customer, workspace=row.workspace)
        later = select(deployments.c.id).where(in_scope(deployments, scope), deployments.c.created_at > row.created_at)
        return BegunDeployment(
            scope=scope,
            id=row.id,
            request=DeploymentRequest.model_validate(from_json(row.request)),
            actor=row.actor,
            rollback_of=row.rollback_of,
            is_latest=self.connection.execute(later.limit(1)).first() is None,
        )

    def deployments(self, scope: Scope, limit: int) -> list[Deployment]:
        """The latest deployments, newest first."""
        query = (
            select(deployments)
            .where(in_scope(deployments, scope))
            .order_by(deployments.c.created_at.desc())
            .limit(limit)
        )
        return [_deployment(row) for row in self.connection.execute(query)]

    def deployment_before(self, scope: Scope, deployment_id: DeploymentId) -> list[Bundle] | None:
        """What was deployed before it; None when there is no such deployment."""
        query = select(deployments.c.before).where(in_scope(deployments, scope), deployments.c.id == deployment_id)
        row = self.connection.execute(query).first()
        return [Bundle.model_validate(bundle) for bundle in from_json(row.before)] if row else None

    def component_sources(self, scope: Scope) -> dict[tuple[str, str], DeploymentSource]:
        """The folder that the version of each component comes from, by kind and name, where it is known.

        A rollback comes from no folder: what it restored comes from where its version was deployed from first.
        """
        made_live, first = deployments.alias(), deployments.alias()
        query = (
            select(components.c.kind, components.c.name, func.coalesce(made_live.c.source, first.c.source))
            .select_from(components)
            .outerjoin(made_live, and_(in_scope(made_live, scope), made_live.c.id == components.c.deployment_id))
            .outerjoin(
                versions,
                and_(
                    in_scope(versions, scope),
                    versions.c.kind == components.c.kind,
                    versions.c.digest == components.c.digest,
                ),
            )
            .outerjoin(first, and_(in_scope(first, scope), first.c.id == versions.c.deployment_id))
            .where(in_scope(components, scope))
        )
        rows = self.connection.execute(query)
        return {(kind, name): found for kind, name, text in rows if (found := _source(text)) is not None}

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
    ) -> None:
        """Moves the deployment to `state`; being there already is not an error, since an activity may run again. `becomes`
        says what one that drains is after that.

        Raises:
            InvalidState: the state may not follow the present one.
        """
        present = self.deployment(scope, deployment_id)
        if present is None:
            return
        if present.state is not state:
            DEPLOYMENT_LIFECYCLE.change(present.state, state, name=deployment_id)
        values: dict[str, object] = {"state": state, "becomes": becomes}
        if changes is not None:
            values["changes"] = to_json(list(changes))
        if before is not None:
            values["before"] = to_json(list(before))
        if error is not None:
            values["error"] = to_json(error)
        if state in FINISHED:
            values["finished_at"] = clock.now()
        self.connection.execute(
            deployments.update().where(in_scope(deployments, scope), deployments.c.id == deployment_id).values(**values)
        )

    def replaced_deployments(self, scope: Scope, *, but: DeploymentId, limit: int) -> list[DeploymentId]:
        """Running deployments of which nothing is live any more, and that no rollout is under way for, the latest first."""
        live = exists().where(in_scope(components, scope), components.c.deployment_id == deployments.c.id)
        query = (
            select(deployments.c.id)
            .where(in_scope(deployments, scope), deployments.c.state == DeploymentState.RUNNING)
            .where(deployments.c.id != but, ~live)
            .order_by(deployments.c.created_at.desc())
            .limit(limit)
        )
        return [DeploymentId(each) for each in self.connection.execute(query).scalars()]


def _deployment(row: Row[tuple[object, ...]]) -> Deployment:
    changes = [Change.model_validate(change) for change in from_json(row.changes, [])]
    return Deployment(
        id=row.id,
        state=row.state,
        message=row.message,
        actor=row.actor,
        changes=changes,
        summary=summarize(changes),
        error=from_json(row.error),
        rollback_of=row.rollback_of,
        becomes=row.becomes,
        source=_source(row.source),
        created_at=clock.to_datetime(row.created_at),
        finished_at=clock.optional_datetime(row.finished_at),
    )


def _source(text: str | None) -> DeploymentSource | None:
    return DeploymentSource.model_validate_json(text) if text else None


def summarize(changes: Sequence[Change]) -> DeploymentSummary:
    """Counts of what happened."""
    actions = [change.action for change in changes]
    return DeploymentSummary(
        deployed=actions.count("new"),
        updated=actions.count("modified"),
        removed=actions.count("deleted"),
        unchanged=actions.count("unchanged"),
    )
