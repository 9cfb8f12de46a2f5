"""The server, agents, capabilities, deployments and tools.

`sync_resources/server.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import Mapping
from typing import Any

from caxton.client.async_resources.calls import TURN_TIMEOUT, AsyncCalls, segment
from caxton.domain.deployments import Deployment, DeploymentPlan, DeploymentRequest
from caxton.domain.grants import GrantRequest, ToolGrant
from caxton.domain.ids import new_id
from caxton.domain.rollouts import Command as RolloutCommand
from caxton.views.agents import AgentView, CapabilityView
from caxton.views.drains import DrainView
from caxton.views.rollouts import RolloutView
from caxton.views.system import Health, QueueList, Readiness, ServerInfo
from caxton.views.tools import GrantsView, SurfaceView, ToolCallResult, ToolLogLine, ToolView

DEPLOY_TIMEOUT = 600.0
"""Seconds to wait for a deployment: compiling a large module takes half a minute."""


class AsyncServerCalls(AsyncCalls):
    """The server, agents, capabilities, deployments and tools."""

    async def health(self) -> Health:
        """True if the server answers."""
        return Health.model_validate(await self._get("/health"))

    async def ready(self) -> Readiness:
        """How the server's parts are; also when they are not well."""
        response = await self._transport.request("GET", "/ready", accept=(503,))
        return Readiness.model_validate(response.json())

    async def server(self) -> ServerInfo:
        """Version, addresses and engine of the server."""
        return ServerInfo.model_validate(await self._get("/v1/server"))

    async def queues(self, *, everywhere: bool = False) -> QueueList:
        """Limits that calls pass or wait for just now; with `everywhere`, those of all customers."""
        return QueueList.model_validate(await self._get("/v1/queues", everywhere=everywhere))

    async def agents(self) -> list[AgentView]:
        """All agents of the workspace."""
        return [AgentView.model_validate(agent) for agent in (await self._get("/v1/agents"))["agents"]]

    async def agent(self, name: str) -> AgentView:
        """One agent, with its documentation, limits and versions."""
        return AgentView.model_validate(await self._get(f"/v1/agents/{segment(name)}"))

    async def start_agent(self, name: str) -> AgentView:
        """Starts a stopped agent."""
        return AgentView.model_validate(await self._post(f"/v1/agents/{segment(name)}/start", {}))

    async def stop_agent(self, name: str, grace: float | None = None) -> AgentView:
        """Stops an agent; work in progress has `grace` seconds to finish (None: the server's own)."""
        return AgentView.model_validate(
            await self._post(f"/v1/agents/{segment(name)}/stop", {"grace": grace}, timeout=None)
        )

    async def restart_agent(self, name: str, grace: float | None = None) -> AgentView:
        """Stops an agent and starts it again."""
        return AgentView.model_validate(
            await self._post(f"/v1/agents/{segment(name)}/restart", {"grace": grace}, timeout=None)
        )

    async def resume_agent(self, name: str, reason: str = "") -> AgentView:
        """Lets a suspended agent take work again."""
        return AgentView.model_validate(await self._post(f"/v1/agents/{segment(name)}/resume", {"reason": reason}))

    async def capabilities(self, query: str | None = None) -> list[CapabilityView]:
        """Capabilities of the workspace; with `query` those whose name or description fits."""
        found = await self._get("/v1/capabilities", query=query)
        return [CapabilityView.model_validate(capability) for capability in found["capabilities"]]

    async def plan(self, request: DeploymentRequest) -> DeploymentPlan:
        """The changes that a deployment would make, and the content that the server lacks for it."""
        return DeploymentPlan.model_validate(await self._post("/v1/deployments/plan", request.model_dump(mode="json")))

    async def put_blob(self, digest: str, content: bytes) -> None:
        """Uploads content under its address."""
        await self._transport.request("PUT", f"/v1/blobs/{segment(digest)}", content=content, timeout=DEPLOY_TIMEOUT)

    async def deploy(self, request: DeploymentRequest, *, idempotency_key: str | None = None) -> Deployment:
        """Deploys; returns when everything runs, or raises and nothing has changed."""
        return Deployment.model_validate(
            await self._post(
                "/v1/deployments",
                request.model_dump(mode="json"),
                key=idempotency_key or new_id("i"),
                timeout=DEPLOY_TIMEOUT,
            )
        )

    async def rollouts(
        self, agent: str | None = None, *, live: bool | None = None, limit: int = 20
    ) -> list[RolloutView]:
        """Rollouts of the workspace, or of one agent, the latest first; only those under way or ended with `live`."""
        found = await self._get("/v1/rollouts", agent=agent, live=live, limit=limit)
        return [RolloutView.model_validate(rollout) for rollout in found["rollouts"]]

    async def rollout(self, rollout_id: str) -> RolloutView:
        """One rollout."""
        return RolloutView.model_validate(await self._get(f"/v1/rollouts/{segment(rollout_id)}"))

    async def change_rollout(
        self, rollout_id: str, command: RolloutCommand, *, reason: str = "", full: bool = False
    ) -> RolloutView:
        """Tells a rollout to pause, resume, promote, abort, retry or undo.

        Args:
            rollout_id: which.
            command: what is to be done.
            reason: why, for the log.
            full: with promote: all of the traffic at once, whatever stages are left.
        """
        body = {"reason": reason, **({"full": full} if command == "promote" else {})}
        return RolloutView.model_validate(await self._post(f"/v1/rollouts/{segment(rollout_id)}/{command}", body))

    async def drains(self, deployment_id: str | None = None) -> list[DrainView]:
        """Versions that were replaced and have work in progress; of one deployment, if it is given."""
        found = await self._get("/v1/drains", deployment=deployment_id)
        return [DrainView.model_validate(drain) for drain in found["drains"]]

    async def deployments(self, limit: int = 20) -> list[Deployment]:
        """The latest deployments, newest first."""
        found = await self._get("/v1/deployments", limit=limit)
        return [Deployment.model_validate(deployment) for deployment in found["deployments"]]

    async def deployment(self, deployment_id: str) -> Deployment:
        """One deployment."""
        return Deployment.model_validate(await self._get(f"/v1/deployments/{segment(deployment_id)}"))

    async def rollback(self, deployment_id: str) -> Deployment:
        """Restores what was there before that deployment."""
        answer = await self._post(f"/v1/deployments/{segment(deployment_id)}/rollback", None, timeout=DEPLOY_TIMEOUT)
        return Deployment.model_validate(answer)

    async def tools(self) -> list[ToolView]:
        """All tool servers of the workspace."""
        return [ToolView.model_validate(tool) for tool in (await self._get("/v1/tools"))["tools"]]

    async def tool(self, name: str) -> ToolView:
        """One tool server."""
        return ToolView.model_validate(await self._get(f"/v1/tools/{segment(name)}"))

    async def call_tool(self, name: str, function: str, arguments: Mapping[str, Any]) -> ToolCallResult:
        """Calls a function of a tool server in its sandbox, without an agent."""
        body = {"function": function, "arguments": dict(arguments)}
        return ToolCallResult.model_validate(
            await self._post(f"/v1/tools/{segment(name)}/call", body, timeout=TURN_TIMEOUT)
        )

    async def tool_surface(self, name: str) -> SurfaceView:
        """Asks a tool's MCP server what it offers now, and compares with what it offered when it was deployed."""
        answer = await self._get(f"/v1/tools/{segment(name)}/surface")
        return SurfaceView.model_validate(answer)

    async def accept_surface(self, name: str, surface: str) -> SurfaceView:
        """Accepts what a tool's MCP server offers now, if its hash is `surface`."""
        answer = await self._post(f"/v1/tools/{segment(name)}/surface", {"surface": surface}, timeout=TURN_TIMEOUT)
        return SurfaceView.model_validate(answer)

    async def tool_logs(self, name: str, limit: int = 100) -> list[ToolLogLine]:
        """The latest calls of a tool server and what it logged."""
        found = await self._get(f"/v1/tools/{segment(name)}/logs", limit=limit)
        return [ToolLogLine.model_validate(line) for line in found["lines"]]

    async def tool_grants(self, tool: str | None = None) -> GrantsView:
        """Grants to the tools of the workspace, or to one tool."""
        return GrantsView.model_validate(await self._get("/v1/tool-grants", tool=tool))

    async def grant_tool(self, request: GrantRequest) -> ToolGrant:
        """Grants rights to a tool."""
        body = request.model_dump(mode="json", exclude_none=True)
        return ToolGrant.model_validate(await self._post("/v1/tool-grants", body))

    async def revoke_tool_grant(self, grant_id: str) -> ToolGrant:
        """Takes a grant back."""
        answer = await self._transport.request("DELETE", f"/v1/tool-grants/{segment(grant_id)}")
        return ToolGrant.model_validate(answer.json())
