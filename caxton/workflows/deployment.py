"""A deployment: everything is checked, then everything goes live in one transaction, or nothing does."""

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from caxton.domain.deployments import DeploymentRequest, DeploymentState
from caxton.domain.errors import ErrorReport
from caxton.domain.ids import DeploymentId, Scope
from caxton.domain.origin import Origin
from caxton.workflows.failures import report_of
from caxton.workflows.names import STATE
from caxton.workflows.policies import DEPLOY_TIMEOUT, HEARTBEAT_TIMEOUT, RECORD_TIMEOUT, RECORDS_RETRY

VALIDATE_DEPLOYMENT = "validate_deployment"
ACTIVATE_DEPLOYMENT = "activate_deployment"
FAIL_DEPLOYMENT = "fail_deployment"
NOTIFY_AGENTS = "notify_agents"


class DeploymentInput(BaseModel):
    """What is to be deployed, for whom, by whom."""

    scope: Scope
    deployment_id: DeploymentId
    request: DeploymentRequest
    actor: str = ""
    origin: Origin | None = None
    rollback_of: DeploymentId | None = None


class DeploymentFailure(BaseModel):
    """A deployment that failed, and why."""

    scope: Scope
    deployment_id: DeploymentId
    error: ErrorReport


@workflow.defn(name="Deployment")
class DeploymentWorkflow:
    """One deployment of one workspace. Its workflow id is the workspace's, so there is one at a time."""

    @workflow.init
    def __init__(self, deployment: DeploymentInput) -> None:
        self.state = DeploymentState.VALIDATING

    @workflow.run
    async def run(self, deployment: DeploymentInput) -> DeploymentState:
        """Deploys. Returns Running, or Failed with the reason in the store."""
        try:
            await workflow.execute_activity(
                VALIDATE_DEPLOYMENT,
                deployment,
                start_to_close_timeout=DEPLOY_TIMEOUT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=5, backoff_coefficient=2.0),
                summary="validate",
            )
            self.state = DeploymentState.DEPLOYING
            changed = await workflow.execute_local_activity(
                ACTIVATE_DEPLOYMENT,
                deployment,
                result_type=bool,
                start_to_close_timeout=RECORD_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary="activate",
            )
        except ActivityError as error:
            await self._fail(deployment, report_of(error))
            return self.state
        self._show(DeploymentState.RUNNING)
        if changed:
            # Routers read the registry, which is right already; the lifecycle workflows follow.
            await workflow.execute_activity(
                NOTIFY_AGENTS,
                deployment,
                start_to_close_timeout=DEPLOY_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary="tell the agents' workflows",
            )
        return self.state

    @workflow.query(name="state")
    def present_state(self) -> DeploymentState:
        """How far it is."""
        return self.state

    async def _fail(self, deployment: DeploymentInput, error: ErrorReport) -> None:
        await workflow.execute_local_activity(
            FAIL_DEPLOYMENT,
            DeploymentFailure(scope=deployment.scope, deployment_id=deployment.deployment_id, error=error),
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary="failed",
        )
        self._show(DeploymentState.FAILED)

    def _show(self, state: DeploymentState) -> None:
        self.state = state
        workflow.upsert_search_attributes([STATE.value_set(state)])
