"""Deployments: plan, deploy, roll back."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.definitions.tools import MANIFEST, MANIFEST_LIMIT, manifest_of
from caxton.deploying.events import DeploymentNotes
from caxton.deploying.releases import Release, read_release
from caxton.domain.deployments import (
    UNFINISHED,
    Deployment,
    DeploymentPlan,
    DeploymentRequest,
    DeploymentSource,
    DeploymentState,
    not_undoable,
)
from caxton.domain.deployments import deployment_id as derived_deployment_id
from caxton.domain.errors import (
    CaxtonError,
    ErrorReport,
    Hint,
    IdempotencyConflict,
    InvalidInput,
    InvalidState,
    NotFound,
    PayloadTooLarge,
)
from caxton.domain.fair_lock import FairLock
from caxton.domain.grants import NO_GRANTS, StandingGrants, ToolGrant, for_any_call, missing
from caxton.domain.ids import DeploymentId, Digest, Scope, new_id
from caxton.domain.origin import current_origin
from caxton.domain.permissions import Permission
from caxton.domain.ports import BlobStore
from caxton.domain.quantities import format_size
from caxton.domain.records import BegunDeployment, Records, Transaction
from caxton.domain.tools import BASE_LIMITS, ToolLimits, ToolManifest
from caxton.routing.directory import read_grants
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.disk_guard import DiskGuard
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.workflows.deployment import DeploymentInput, DeploymentWorkflow
from caxton.workflows.names import deployment_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT

log = logging.getLogger(__name__)

POLL_INTERVAL = 5.0
"""Seconds between looks for deployments that nobody has begun."""

ENDING = 5.0
"""Seconds for which a deployment waits for the workflow of one that is done, which is about to end."""

LOOK_AGAIN = 0.1
"""Seconds between two looks whether it has."""

AT_A_TIME = 100

NOT_BEGUN_AFTER = timedelta(seconds=10)
"""After so long a deployment that has not ended is checked: its workflow may never have been started."""

Grants = Mapping[str, Sequence[ToolGrant]]
Sources = Mapping[tuple[str, str], DeploymentSource]

MANIFESTS_READ = 50
"""Manifests of changed tools that a plan looks into; a deployment tells of all."""

LARGE = 1_000
"""Agents, tools and their files above which plans take turns: together they would leave the interpreter to nobody else."""

DEPLOYMENT_MEMO = "deployment_id"
"""Under which a workflow says which deployment it is: all of a workspace's have one workflow id."""

CHECK_EVERY = 8 << 20
"""Bytes of an upload after which the disk is looked at again."""


class Deployments:
    """Use cases on deployments."""

    def __init__(
        self,
        records: Records,
        blobs: BlobStore,
        engine: Engine,
        disk: DiskGuard,
        standing: StandingGrants = NO_GRANTS,
        base_limits: ToolLimits = BASE_LIMITS,
    ) -> None:
        """Join what deployments need, and what tools are granted by the server's settings."""
        self.standing = standing
        self.base_limits = base_limits
        self.disk = disk
        self.records = records
        self.blobs = blobs
        self.engine = engine
        self._large_plans = FairLock()

    async def plan(self, caller: Caller, request: DeploymentRequest) -> DeploymentPlan:
        """What `request` would change, and which content the server lacks for it."""
        if sum(1 + len(bundle.files) for bundle in request.bundles) <= LARGE:
            return await self._plan(caller, request)
        async with self._large_plans.turn(caller.scope.customer):
            return await self._plan(caller, request)

    async def _plan(self, caller: Caller, request: DeploymentRequest) -> DeploymentPlan:
        _check(request)

        def read(tx: Transaction) -> tuple[Release, Grants, Sources, set[Digest]]:
            release = read_release(tx, caller.scope, request)
            return (
                release,
                read_grants(tx, caller.scope, self.standing),
                tx.component_sources(caller.scope),
                tx.own_contents(caller.scope, release.contents),
            )

        release, grants, sources, own = await self.records.read(read)
        for change in release.changes:
            change.source = sources.get((change.kind, change.name))
        # Content of another workspace is as missing as what nobody has: a plan tells nobody what there is elsewhere.
        absent = set(await self.blobs.missing(caller.scope.customer, sorted(own)))
        lacking = [digest for digest in release.contents if digest not in own or digest in absent]
        changes = {change.name: change for change in release.changes if change.kind == "tool"}
        tools = [bundle for bundle in release.changed if bundle.kind == "tool" and MANIFEST in bundle.files]
        for bundle in tools[:MANIFESTS_READ]:
            manifest = bundle.files[MANIFEST]
            tool = await self._manifest(caller, manifest) if manifest in own else None
            if tool is not None:
                rights = for_any_call(grants.get(bundle.name, ()), datetime.now(UTC), bundle.digest)
                changes[bundle.name].lacks(missing(tool, rights, self.base_limits))
        return DeploymentPlan(changes=release.changes, missing=lacking)

    async def _manifest(self, caller: Caller, digest: Digest) -> ToolManifest | None:
        """The manifest at `digest`, if it is there already and is one."""
        try:
            size, chunks = await self.blobs.read(caller.scope.customer, digest)
        except NotFound:
            return None
        content = bytearray()
        async with aclosing(chunks):
            async for chunk in chunks:
                if size > MANIFEST_LIMIT:
                    return None
                content += chunk
        return manifest_of(bytes(content))

    async def put_blob(self, caller: Caller, digest: Digest, chunks: AsyncIterator[bytes]) -> None:
        """Stores content of a deployment as it comes, for the caller's workspace. Whoever sends all of it has it, also where
        another workspace has it already. Nothing of it is read before it is known that it may be stored.

        Raises:
            InvalidInput: it is not what its address says.
            DiskFull: there is no room, or it has become short.
        """
        self.disk.check(caller.scope.customer)
        scope = caller.scope
        known = await self.records.read(lambda transaction: transaction.own_contents(scope, [digest]))
        if not known or await self.blobs.missing(scope.customer, [digest]):
            await request_change(self.records, caller, "content.store", digest)
        await self.blobs.store(scope.customer, digest, self._while_there_is_room(chunks, scope.customer))
        if not known:
            await self.records.write(lambda transaction: transaction.add_contents(scope, [digest]))

    async def _while_there_is_room(self, chunks: AsyncIterator[bytes], customer: str) -> AsyncIterator[bytes]:
        unchecked = 0
        async for chunk in chunks:
            unchecked += len(chunk)
            if unchecked > CHECK_EVERY:
                self.disk.check(customer)
                unchecked = 0
            yield chunk

    async def content(self, caller: Caller, digest: Digest) -> tuple[int, AsyncIterator[bytes]]:
        """The size of a content by its address, and the content a chunk at a time.

        Raises:
            NotFound: the customer has no such content, or it is not of the caller's workspace.
        """

        def has_it(transaction: Transaction) -> bool:
            everywhere = Permission.MESSAGES_READ in caller.everywhere
            return transaction.has_content(caller.scope, digest, everywhere=everywhere)

        if not await self.records.read(has_it):
            raise NotFound(f'there is no content "{digest}"', details={"digest": digest})
        return await self.blobs.read(caller.scope.customer, digest)

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
            InvalidState: another deployment of the workspace is in progress.
        """
        self.disk.check(caller.scope.customer)
        _check(request)
        scope = caller.scope
        deployment_id = (
            derived_deployment_id(scope.customer, scope.workspace, idempotency_key)
            if idempotency_key
            else DeploymentId(new_id("d"))
        )
        deployment = DeploymentInput(
            scope=scope,
            deployment_id=deployment_id,
            request=request,
            actor=caller.actor,
            origin=current_origin(),
            rollback_of=rollback_of,
        )
        known = await self.records.write(lambda transaction: _begin(transaction, deployment))
        if known is not None and (
            known.request.model_dump() != request.model_dump() or known.rollback_of != rollback_of
        ):
            raise IdempotencyConflict(
                "the idempotency key was used before, for another deployment",
                "use a new key for a new deployment",
                details={"deployment": deployment_id},
            )
        if known is None or (await self.show(caller, deployment_id)).state in UNFINISHED:
            handle = await self._start(deployment)
            await self.engine.call(lambda: handle.result(rpc_timeout=timedelta(minutes=15)))
        return await self._finished(caller, deployment_id)

    async def keep_going(self) -> None:
        """Goes on with deployments that were asked of a server that is gone, forever."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self._look()
            except CaxtonError as error:
                log.warning("deployments wait: %s", error.message)
            except Exception as error:
                log.exception("looking after deployments failed, and goes on", extra={"error": type(error).__name__})

    async def _look(self) -> None:
        before = datetime.now(UTC) - NOT_BEGUN_AFTER
        for begun in await self.records.read(lambda transaction: transaction.unfinished_deployments(before, AT_A_TIME)):
            with contextlib.suppress(InvalidState):  # it is told by the deployment
                await self._go_on(begun)

    async def _go_on(self, begun: BegunDeployment) -> None:
        deployment = DeploymentInput(
            scope=begun.scope,
            deployment_id=begun.id,
            request=begun.request,
            actor=begun.actor,
            rollback_of=begun.rollback_of,
        )
        if begun.is_latest:
            await self._start(deployment)
        elif await self._at_work(begun.scope) is None:
            error = InvalidState(
                "the server was stopped before the deployment began, and another one came after it",
                Hint(text="deploy again if it is still wanted", command="caxton deploy"),
                details={"deployment": begun.id},
            )
            await self.records.write(lambda transaction: _fail(transaction, deployment, error.report()))

    async def rollback(self, caller: Caller, deployment_id: DeploymentId) -> Deployment:
        """Deploys what was there before `deployment_id`.

        Raises:
            NotFound: there is no such deployment.
            InvalidState: it did not change anything.
        """
        present = await self.show(caller, deployment_id)
        if not present.is_undoable:
            raise not_undoable(deployment_id, present.state)
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

    async def _start(self, deployment: DeploymentInput) -> WorkflowHandle[Any, Any]:
        """Starts the workflow, or finds it started.

        Raises:
            InvalidState: another deployment of the workspace is in progress; this one has failed.
        """
        scope = deployment.scope
        until = time.monotonic() + ENDING
        while True:
            try:
                return await self.engine.call(
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
                holder = await self._at_work(scope)
            # Perhaps it is this very deployment: its server was killed, and the client asks again.
            if holder == deployment.deployment_id:
                return self._handle(scope)
            if time.monotonic() > until or not await self._is_ending(scope, holder):
                break
            await asyncio.sleep(LOOK_AGAIN)
        busy = InvalidState(
            f"another deployment of workspace {scope} is in progress: {holder or 'it just began'}",
            Hint(text="it goes on by itself; deploy again when it is done", command="caxton deployments"),
            details={"deployment": holder},
        )
        await self.records.write(lambda transaction: _fail(transaction, deployment, busy.report()))
        raise busy

    async def _is_ending(self, scope: Scope, holder: str | None) -> bool:
        """Whether the deployment in progress is done, and only its workflow has not ended yet, or has just ended."""
        if holder is None:
            return True
        found = await self.records.read(lambda transaction: transaction.deployment(scope, DeploymentId(holder)))
        return found is not None and found.state not in (DeploymentState.VALIDATING, DeploymentState.DEPLOYING)

    async def _at_work(self, scope: Scope) -> str | None:
        """Which deployment of a workspace is in progress, if one is."""
        try:
            found = await self.engine.call(self._handle(scope).describe)
        except WorkflowMissingError:
            return None
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return None
        return (await found.memo()).get(DEPLOYMENT_MEMO)

    def _handle(self, scope: Scope) -> WorkflowHandle[Any, Any]:
        return self.engine.client.get_workflow_handle_for(DeploymentWorkflow.run, deployment_workflow_id(scope))

    async def _finished(self, caller: Caller, deployment_id: DeploymentId) -> Deployment:
        done = await self.show(caller, deployment_id)
        if done.error is not None:
            raise CaxtonError.from_report(ErrorReport.model_validate(done.error))
        return done


def _begin(transaction: Transaction, deployment: DeploymentInput) -> BegunDeployment | None:
    """Records the beginning. If it has begun before, returns what was asked for then."""
    request = deployment.request
    begun = transaction.add_deployment(
        deployment.scope,
        deployment.deployment_id,
        request,
        actor=deployment.actor,
        rollback_of=deployment.rollback_of,
    )
    if not begun:
        return transaction.begun_deployment(deployment.scope, deployment.deployment_id)
    notes = DeploymentNotes(deployment.scope, deployment.deployment_id, deployment.actor, deployment.origin)
    notes.created(request, deployment.rollback_of)
    transaction.add_events(deployment.scope, notes.events)
    return None


def _fail(transaction: Transaction, deployment: DeploymentInput, error: ErrorReport) -> None:
    transaction.set_deployment(deployment.scope, deployment.deployment_id, DeploymentState.FAILED, error=error)
    notes = DeploymentNotes(deployment.scope, deployment.deployment_id, deployment.actor, deployment.origin)
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
    size = len(request.model_dump_json())
    if size > REQUEST_BYTES:
        raise PayloadTooLarge(
            f"the deployment is too large: {len(request.bundles)} agents and tools take {format_size(size)}, and "
            f"{format_size(REQUEST_BYTES)} are allowed",
            "deploy them in parts, from a folder each; without pruning, what is deployed stays",
            details={"limit": REQUEST_BYTES},
        )
