"""Deployments: plan, deploy, roll back."""

from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.activities.deployment_events import DeploymentNotes
from caxton.activities.releases import read_release
from caxton.domain.deployments import Deployment, DeploymentPlan, DeploymentRequest, DeploymentState
from caxton.domain.errors import CaxtonError, ErrorReport, Hint, InvalidInput, InvalidState, NotFound, PayloadTooLarge
from caxton.domain.ids import DeploymentId, Digest, derived_id, digest_of, new_id
from caxton.domain.ports import BlobStore
from caxton.domain.quantities import format_size
from caxton.domain.records import Records, Transaction
from caxton.service.context import Caller, Role
from caxton.service.engine import Engine
from caxton.service.room import DiskRoom
from caxton.workflows.deployment import DeploymentInput, DeploymentWorkflow
from caxton.workflows.names import deployment_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT

DEPLOYMENT_MEMO = "deployment_id"
"""Under which a workflow says which deployment it is: all of a workspace's have one workflow id."""


class Deployments:
    """Use cases on deployments."""

    def __init__(self, records: Records, blobs: BlobStore, engine: Engine, room: DiskRoom) -> None:
        """Join what deployments need."""
        self.room = room
        self.records = records
        self.blobs = blobs
        self.engine = engine

    async def plan(self, caller: Caller, request: DeploymentRequest) -> DeploymentPlan:
        """What `request` would change, and which content the server lacks for it."""
        _check(request)
        release = await self.records.read(lambda transaction: read_release(transaction, caller.scope, request))
        digests = [digest for bundle in release.changed for digest in bundle.files.values()]
        missing = await self.blobs.missing(caller.scope.customer, digests)
        return DeploymentPlan(changes=release.changes, missing=missing)

    async def put_blob(self, caller: Caller, digest: Digest, content: bytes) -> None:
        """Stores content of a deployment.

        Raises:
            InvalidInput: it is not what its address says.
        """
        caller.require(Role.DEVELOPER)
        self.room.check()
        if digest_of(content) != digest:
            raise InvalidInput("the content is not what its address says", "send it again")
        await self.blobs.put(caller.scope.customer, content)

    async def deploy(
        self,
        caller: Caller,
        request: DeploymentRequest,
        *,
        idempotency_key: str | None = None,
        rollback_of: DeploymentId | None = None,
    ) -> Deployment:
        """Deploys, and waits until it is done.

        Raises:
            InvalidDefinitions: something is wrong; nothing was changed.
            InvalidState: another deployment of the workspace is under way.
        """
        caller.require(Role.DEVELOPER)
        self.room.check()
        _check(request)
        scope = caller.scope
        key = (scope.customer, scope.workspace, idempotency_key or "")
        deployment_id = DeploymentId(derived_id("d", *key) if idempotency_key else new_id("d"))
        deployment = DeploymentInput(
            scope=scope,
            deployment_id=deployment_id,
            request=request,
            actor=caller.actor,
            rollback_of=rollback_of,
        )
        begun = await self.records.write(lambda transaction: _begin(transaction, deployment))
        if begun or (await self.show(caller, deployment_id)).state is DeploymentState.VALIDATING:
            await self._run(deployment)
        return await self._finished(caller, deployment_id)

    async def rollback(self, caller: Caller, deployment_id: DeploymentId) -> Deployment:
        """Deploys what was there before `deployment_id`.

        Raises:
            NotFound: there is no such deployment.
            InvalidState: it did not change anything.
        """
        caller.require(Role.DEVELOPER)
        present = await self.show(caller, deployment_id)
        if present.state is not DeploymentState.RUNNING:
            raise InvalidState(
                f'deployment "{deployment_id}" is {present.state}, so there is nothing to undo',
                Hint(text="see which can be undone", command="caxton deployments"),
                details={"deployment": deployment_id, "state": present.state},
            )
        before = await self.records.read(lambda tx: tx.deployment_before(caller.scope, deployment_id))
        request = DeploymentRequest(bundles=before or [], prune=True, message=f"rollback of {deployment_id}")
        return await self.deploy(caller, request, rollback_of=deployment_id)

    async def show(self, caller: Caller, deployment_id: DeploymentId) -> Deployment:
        """A deployment.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self.records.read(lambda transaction: transaction.deployment(caller.scope, deployment_id))
        if found is None:
            raise NotFound(
                f'there is no deployment "{deployment_id}"',
                Hint(text="see which there are", command="caxton deployments"),
                details={"deployment": deployment_id},
            )
        return found

    async def list_deployments(self, caller: Caller, limit: int) -> list[Deployment]:
        """The latest deployments, newest first."""
        return await self.records.read(lambda transaction: transaction.deployments(caller.scope, limit))

    async def _run(self, deployment: DeploymentInput) -> None:
        scope = deployment.scope
        try:
            handle = await self.engine.call(
                lambda: self.engine.client.start_workflow(
                    DeploymentWorkflow.run,
                    deployment,
                    id=deployment_workflow_id(scope),
                    task_queue=self.engine.task_queue,
                    request_eager_start=True,
                    task_timeout=TASK_TIMEOUT,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    search_attributes=search_attributes(scope, state=DeploymentState.VALIDATING),
                    memo={DEPLOYMENT_MEMO: deployment.deployment_id},
                    static_summary=f"deployment {deployment.deployment_id} of {len(deployment.request.bundles)} files",
                )
            )
        except WorkflowAlreadyStartedError:
            # Perhaps it is this very deployment: its server was killed, and the client asks again.
            handle = self.engine.client.get_workflow_handle_for(DeploymentWorkflow.run, deployment_workflow_id(scope))
            holder = await self.engine.call(lambda: _holder(handle))
            if holder != deployment.deployment_id:
                busy = InvalidState(
                    f"another deployment of workspace {scope} is under way: {holder or 'it just began'}",
                    Hint(text="it goes on by itself; deploy again when it is done", command="caxton deployments"),
                    details={"deployment": holder},
                )
                await self.records.write(lambda transaction: _fail(transaction, deployment, busy.report()))
                raise busy from None
        await self.engine.call(lambda: handle.result(rpc_timeout=timedelta(minutes=15)))

    async def _finished(self, caller: Caller, deployment_id: DeploymentId) -> Deployment:
        done = await self.show(caller, deployment_id)
        if done.error is not None:
            raise CaxtonError.from_report(ErrorReport.model_validate(done.error))
        return done


async def _holder(handle: WorkflowHandle[Any, Any]) -> str | None:
    return (await (await handle.describe()).memo()).get(DEPLOYMENT_MEMO)


def _begin(transaction: Transaction, deployment: DeploymentInput) -> bool:
    request = deployment.request
    begun = transaction.add_deployment(
        deployment.scope,
        deployment.deployment_id,
        request,
        actor=deployment.actor,
        rollback_of=deployment.rollback_of,
    )
    if begun:
        notes = DeploymentNotes(deployment.scope, deployment.deployment_id, deployment.actor)
        notes.created(request, deployment.rollback_of)
        transaction.add_events(deployment.scope, notes.events)
    return begun


def _fail(transaction: Transaction, deployment: DeploymentInput, error: ErrorReport) -> None:
    transaction.set_deployment(deployment.scope, deployment.deployment_id, DeploymentState.FAILED, error=error)
    notes = DeploymentNotes(deployment.scope, deployment.deployment_id, deployment.actor)
    notes.failed(error)
    transaction.add_events_once(deployment.scope, notes.events)


REQUEST_BYTES = 1_500_000
"""Names and digests of one deployment: some 5,000 agents. The engine takes 2 MB, with what it adds."""


def _check(request: DeploymentRequest) -> None:
    seen: set[tuple[str, str]] = set()
    for bundle in request.bundles:
        key = (bundle.kind, bundle.name)
        if key in seen:
            raise InvalidInput(f'{bundle.kind} "{bundle.name}" is given twice')
        seen.add(key)
        if any(path.startswith("/") or ".." in path.split("/") for path in bundle.files):
            raise InvalidInput(f'{bundle.kind} "{bundle.name}" names a file outside of its folder')
    size = len(request.model_dump_json())
    if size > REQUEST_BYTES:
        raise PayloadTooLarge(
            f"the deployment is too large: {len(request.bundles)} agents and tools take {format_size(size)}, and "
            f"{format_size(REQUEST_BYTES)} are allowed",
            "deploy them in parts, from a folder each; without pruning, what is deployed stays",
            details={"limit": REQUEST_BYTES},
        )
