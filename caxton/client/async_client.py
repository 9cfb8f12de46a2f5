"""The client, one method an operation of the API.

`sync_client.py` is generated from this file by `python -m caxton.client.unasync`.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from caxton.client.discovery import Connection, discover
from caxton.client.sse import StreamEvent
from caxton.client.transport_async import AsyncTransport, given
from caxton.client.views import (
    AgentView,
    BulkPreview,
    CapabilityView,
    EventType,
    Health,
    Imported,
    KeyView,
    MatchPage,
    MemoryCounts,
    MetricValue,
    NewKey,
    PageResult,
    ProjectedView,
    PurgePreview,
    Readiness,
    RetentionView,
    ServerInfo,
    ToolCallResult,
    ToolLogLine,
    ToolView,
    UndoView,
    Verification,
)
from caxton.domain.conversations import Conversation, EndReason
from caxton.domain.deployments import Deployment, DeploymentPlan, DeploymentRequest
from caxton.domain.errors import NotFound, UsageError
from caxton.domain.events import Event
from caxton.domain.events.replay import Replay
from caxton.domain.executions import RoutingStrategy, TurnView
from caxton.domain.governance import Approval, Budget
from caxton.domain.ids import new_id
from caxton.domain.memory import Entity, MemoryPath, Relation
from caxton.domain.messages import Content, Message

TURN_TIMEOUT = 900.0
"""Seconds to wait for a turn. The agent's own limits end it long before; this keeps a dead connection from lasting."""
DEPLOY_TIMEOUT = 600.0
"""Seconds to wait for a deployment: compiling a large module takes half a minute."""

VERIFY_TIMEOUT = 900.0
"""Seconds to wait for a verification: it reads the whole log, some 50,000 events a second."""


class AsyncCaxton:
    """Talks to a Caxton server.

    Every method raises :class:`caxton.domain.errors.ServerUnreachable` when there is no server, and the error that the
    server answered with as the class of its code, such as :class:`caxton.domain.errors.NoCapableAgent`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        workspace: str | None = None,
        data_dir: Path | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        """Find the server and prepare to talk to it.

        Args:
            url: the server; without it from `CAXTON_URL`, `caxton.toml` or the data folder of a server on this machine.
            api_key: without it from `CAXTON_API_KEY`, or the admin key of a server on this machine.
            workspace: without it from `CAXTON_WORKSPACE` or `caxton.toml`; else "default".
            data_dir: data folder of a server on this machine, to find its address and key.
            transport: use this one and ignore all else.
        """
        self._transport = transport or AsyncTransport(discover(url, api_key, workspace, data_dir))

    @property
    def connection(self) -> Connection:
        """Where this client connects to."""
        return self._transport.connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._transport.close()

    # --- the server --------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Whether the server lives."""
        return Health.model_validate(await self._get("/health"))

    async def ready(self) -> Readiness:
        """How the server's parts are; also when they are not well."""
        response = await self._transport.request("GET", "/ready", accept=(503,))
        return Readiness.model_validate(response.json())

    async def server(self) -> ServerInfo:
        """What the server is and runs on."""
        return ServerInfo.model_validate(await self._get("/v1/server"))

    # --- agents and capabilities -------------------------------------------------------------------------------------

    async def agents(self) -> list[AgentView]:
        """All agents of the workspace."""
        return [AgentView.model_validate(agent) for agent in (await self._get("/v1/agents"))["agents"]]

    async def agent(self, name: str) -> AgentView:
        """One agent, with its documentation, limits and versions."""
        return AgentView.model_validate(await self._get(f"/v1/agents/{_segment(name)}"))

    async def start_agent(self, name: str) -> AgentView:
        """Starts a stopped agent."""
        return AgentView.model_validate(await self._post(f"/v1/agents/{_segment(name)}/start", {}))

    async def stop_agent(self, name: str, grace: float | None = None) -> AgentView:
        """Stops an agent; work in hand has `grace` seconds to finish (None: the server's own)."""
        return AgentView.model_validate(
            await self._post(f"/v1/agents/{_segment(name)}/stop", {"grace": grace}, timeout=None)
        )

    async def restart_agent(self, name: str, grace: float | None = None) -> AgentView:
        """Stops an agent and starts it again."""
        return AgentView.model_validate(
            await self._post(f"/v1/agents/{_segment(name)}/restart", {"grace": grace}, timeout=None)
        )

    async def resume_agent(self, name: str, reason: str = "") -> AgentView:
        """Lets a suspended agent take work again."""
        return AgentView.model_validate(await self._post(f"/v1/agents/{_segment(name)}/resume", {"reason": reason}))

    async def capabilities(self, query: str | None = None) -> list[CapabilityView]:
        """Capabilities of the workspace; with `query` those whose name or description fits."""
        found = await self._get("/v1/capabilities", query=query)
        return [CapabilityView.model_validate(capability) for capability in found["capabilities"]]

    # --- deployments -------------------------------------------------------------------------------------------------

    async def plan(self, request: DeploymentRequest) -> DeploymentPlan:
        """What a deployment would do, and which content the server lacks for it."""
        return DeploymentPlan.model_validate(await self._post("/v1/deployments/plan", request.model_dump(mode="json")))

    async def put_blob(self, digest: str, content: bytes) -> None:
        """Uploads content under its address."""
        await self._transport.request("PUT", f"/v1/blobs/{_segment(digest)}", content=content, timeout=DEPLOY_TIMEOUT)

    async def blob(self, digest: str) -> bytes:
        """Content by its address: of an artifact, or of a message too large to travel inside."""
        return (await self._transport.request("GET", f"/v1/blobs/{_segment(digest)}", timeout=DEPLOY_TIMEOUT)).content

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

    async def deployments(self, limit: int = 20) -> list[Deployment]:
        """The latest deployments, newest first."""
        found = await self._get("/v1/deployments", limit=limit)
        return [Deployment.model_validate(deployment) for deployment in found["deployments"]]

    async def deployment(self, deployment_id: str) -> Deployment:
        """One deployment."""
        return Deployment.model_validate(await self._get(f"/v1/deployments/{_segment(deployment_id)}"))

    async def rollback(self, deployment_id: str) -> Deployment:
        """Restores what was there before that deployment."""
        answer = await self._post(f"/v1/deployments/{_segment(deployment_id)}/rollback", None, timeout=DEPLOY_TIMEOUT)
        return Deployment.model_validate(answer)

    # --- tools -------------------------------------------------------------------------------------------------------

    async def tools(self) -> list[ToolView]:
        """All tool servers of the workspace."""
        return [ToolView.model_validate(tool) for tool in (await self._get("/v1/tools"))["tools"]]

    async def tool(self, name: str) -> ToolView:
        """One tool server."""
        return ToolView.model_validate(await self._get(f"/v1/tools/{_segment(name)}"))

    async def call_tool(self, name: str, function: str, arguments: Mapping[str, Any]) -> ToolCallResult:
        """Calls a function of a tool server in its sandbox, without an agent."""
        body = {"function": function, "arguments": dict(arguments)}
        return ToolCallResult.model_validate(
            await self._post(f"/v1/tools/{_segment(name)}/call", body, timeout=TURN_TIMEOUT)
        )

    async def tool_logs(self, name: str, limit: int = 100) -> list[ToolLogLine]:
        """The latest calls of a tool server and what it logged."""
        found = await self._get(f"/v1/tools/{_segment(name)}/logs", limit=limit)
        return [ToolLogLine.model_validate(line) for line in found["lines"]]

    # --- messages ----------------------------------------------------------------------------------------------------

    async def ask(
        self,
        content: str,
        *,
        capability: str | None = None,
        agent: str | None = None,
        version_range: str | None = None,
        strategy: RoutingStrategy | None = None,
        variables: Mapping[str, Any] | None = None,
        wait: bool = True,
        idempotency_key: str | None = None,
    ) -> TurnView:
        """One request, one reply: by capability, or of one agent by name.

        Args:
            content: the request.
            capability: what is asked for; give this or `agent`.
            agent: who is asked.
            version_range: versions of the capability that will do, such as "^1.2".
            strategy: how to choose among several agents.
            variables: values for the agent's templates.
            wait: return with the reply; otherwise at once, with `state` "running".
            idempotency_key: the same key gives the same answer; one is made if None.
        """
        body = {
            "capability": capability,
            "agent": agent,
            "version_range": version_range,
            "strategy": strategy,
            "content": content,
            "variables": dict(variables) if variables else None,
        }
        return await self._turn("/v1/messages", body, wait, idempotency_key)

    async def agent_messages(self, agent: str, *, before: str | None = None, limit: int = 50) -> list[Message]:
        """Messages that an agent got or sent, newest first."""
        found = await self._get("/v1/messages", agent=agent, before=before, limit=limit)
        return [Message.model_validate(message) for message in found["messages"]]

    async def start_conversation(
        self,
        *,
        capability: str | None = None,
        agent: str | None = None,
        version_range: str | None = None,
        topic: str | None = None,
        idle_timeout: float | None = None,
        strategy: RoutingStrategy | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Conversation:
        """Starts a conversation of any number of turns.

        Args:
            capability: what the conversation is about; give this or `agent`.
            agent: whom it is with.
            version_range: versions of the capability that will do.
            topic: for people.
            idle_timeout: seconds without a message after which it expires.
            strategy: how to choose among several agents.
            metadata: values of your own, kept with the conversation.
            idempotency_key: the same key gives the same conversation; one is made if None.
        """
        body = {
            "capability": capability,
            "agent": agent,
            "version_range": version_range,
            "topic": topic,
            "idle_timeout": idle_timeout,
            "strategy": strategy,
            "metadata": dict(metadata) if metadata else None,
        }
        answer = await self._post("/v1/conversations", given(body), key=idempotency_key or new_id("i"))
        return Conversation.model_validate(answer)

    async def send(
        self,
        conversation_id: str,
        content: str,
        *,
        variables: Mapping[str, Any] | None = None,
        wait: bool = True,
        idempotency_key: str | None = None,
    ) -> TurnView:
        """One turn of a conversation; arguments as those of `ask`."""
        body = {"content": content, "variables": dict(variables) if variables else None}
        return await self._turn(f"/v1/conversations/{_segment(conversation_id)}/messages", body, wait, idempotency_key)

    async def conversations(
        self, *, active: bool | None = None, agent: str | None = None, before: str | None = None, limit: int = 20
    ) -> list[Conversation]:
        """Conversations, the most recently active first."""
        found = await self._get("/v1/conversations", active=active, agent=agent, before=before, limit=limit)
        return [Conversation.model_validate(conversation) for conversation in found["conversations"]]

    async def conversation(self, conversation_id: str) -> Conversation:
        """One conversation."""
        return Conversation.model_validate(await self._get(f"/v1/conversations/{_segment(conversation_id)}"))

    async def messages(
        self, conversation_id: str, *, before: str | None = None, limit: int = 100, everything: bool = False
    ) -> list[Message]:
        """Messages of a conversation, oldest first; with `everything` also those among agents."""
        path = f"/v1/conversations/{_segment(conversation_id)}/messages"
        found = await self._get(path, before=before, limit=limit, all=everything or None)
        return [Message.model_validate(message) for message in found["messages"]]

    async def end_conversation(self, conversation_id: str, reason: EndReason = EndReason.COMPLETED) -> Conversation:
        """Ends a conversation."""
        answer = await self._post(f"/v1/conversations/{_segment(conversation_id)}/end", {"reason": reason})
        return Conversation.model_validate(answer)

    async def cancel_conversation(self, conversation_id: str) -> Conversation:
        """Stops the turn that runs and ends the conversation."""
        return Conversation.model_validate(
            await self._post(f"/v1/conversations/{_segment(conversation_id)}/cancel", None)
        )

    async def text(self, content: Content) -> str:
        """The text of a message, fetched if it was too large to travel inside."""
        if content.text is not None or content.digest is None:
            return content.text or ""
        return (await self.blob(content.digest)).decode()

    # --- executions --------------------------------------------------------------------------------------------------

    async def execution(self, execution_id: str, *, conversation_id: str | None = None) -> TurnView:
        """How a turn is or was. One that waits behind others is found with its `conversation_id` only."""
        path = f"/v1/executions/{_segment(execution_id)}"
        return TurnView.model_validate(await self._get(path, conversation_id=conversation_id))

    async def cancel_turn(self, execution_id: str, *, conversation_id: str | None = None) -> TurnView:
        """Ends a turn, and nothing else: its conversation goes on. One that waits needs its `conversation_id`."""
        path = f"/v1/executions/{_segment(execution_id)}/cancel"
        return TurnView.model_validate(await self._post(path, None, params={"conversation_id": conversation_id}))

    async def events(self, execution_id: str) -> list[Event]:
        """What happened in a turn, oldest first."""
        found = await self._get(f"/v1/executions/{_segment(execution_id)}/events")
        return [Event.model_validate(event) for event in found["events"]]

    def stream(
        self, execution_id: str, *, conversation_id: str | None = None, last_event_id: str | None = None
    ) -> AsyncIterator[StreamEvent]:
        """Follows a turn: steps and pieces of text as they come, at last the reply or the error.

        One that waits behind others is found with its `conversation_id` only.
        """
        path, params = f"/v1/executions/{_segment(execution_id)}/stream", {"conversation_id": conversation_id}
        return self._transport.stream(path, params=params, last_event_id=last_event_id)

    async def replay(self, execution_id: str) -> Replay:
        """A turn's outcome rebuilt from events alone, and where it differs from the record."""
        return Replay.model_validate(await self._get(f"/v1/executions/{_segment(execution_id)}/replay"))

    # --- the event log -----------------------------------------------------------------------------------------------

    async def event_page(
        self, *, cursor: str | None = None, order: str = "oldest", limit: int = 100, **filters: Any
    ) -> tuple[list[Event], str | None]:
        """Events of the workspace, and the cursor of the next page.

        Args:
            cursor: of the last page, to go on with the same filters.
            order: "oldest" or "newest" first.
            limit: how many, 1000 at the most.
            filters: type (a list), execution, agent, actor, capability, conversation, deployment, error, since, until.
        """
        found = await self._get("/v1/events", cursor=cursor, order=order, limit=limit, **filters)
        return [Event.model_validate(event) for event in found["events"]], found.get("next")

    async def event(self, event_id: str) -> Event:
        """One event."""
        return Event.model_validate(await self._get(f"/v1/events/{_segment(event_id)}"))

    def tail(self, *, cursor: str | None = None, **filters: Any) -> AsyncIterator[StreamEvent]:
        """Events as they are written, for ever; `data` of each is an :class:`Event`, its id a cursor."""
        return self._transport.stream("/v1/events/tail", params={"cursor": cursor, **filters})

    def export(self, *, after: int = 0, everything: bool = False, **filters: Any) -> AsyncIterator[str]:
        """Events as lines of JSON."""
        params = {"after": after, "everything": "true" if everything else None, **filters}
        return self._transport.lines("/v1/events/export", params=params)

    async def verify_events(self, expect: str | None = None) -> Verification:
        """Whether the customer's log is what was written; `expect` is SEQUENCE:HASH, written down earlier."""
        response = await self._transport.request(
            "GET", "/v1/events/verify", params={"expect": expect}, timeout=VERIFY_TIMEOUT
        )
        return Verification.model_validate(response.json())

    async def tell_first_steps(self, events: list[dict[str, Any]]) -> None:
        """Hands in events that happened without a server; sent again, they are taken once."""
        await self._transport.request("POST", "/v1/onboarding", json={"events": events}, idempotency_key=new_id("i"))

    async def event_types(self) -> list[EventType]:
        """The catalogue of events."""
        return [EventType.model_validate(each) for each in (await self._get("/v1/events/types"))["types"]]

    async def views(self) -> dict[str, str]:
        """What views of the log there are, and what each shows."""
        return dict((await self._get("/v1/views"))["views"])

    async def view(self, name: str, key: str | None = None) -> ProjectedView:
        """A view of the log; one document of it with `key`."""
        return ProjectedView.model_validate(await self._get(f"/v1/views/{_segment(name)}", key=key))

    async def rebuild_view(self, name: str) -> ProjectedView:
        """Drops a view, and builds it again from the log."""
        return ProjectedView.model_validate(await self._post(f"/v1/views/{_segment(name)}/rebuild", None))

    async def metrics(self, *, since: str | None = None, until: str | None = None) -> list[MetricValue]:
        """Metrics that derive from events: of the last day, unless a span is given (ISO 8601 with a time zone)."""
        found = await self._get("/v1/metrics", since=since, until=until)
        return [MetricValue.model_validate(each) for each in found["metrics"]]

    async def define_metric(self, name: str, definition: Mapping[str, Any]) -> None:
        """Defines a metric: `count` and perhaps `per` (each with type and further conditions), `by`, `description`."""
        await self._transport.request("PUT", f"/v1/metrics/{_segment(name)}", json=definition)

    async def remove_metric(self, name: str) -> None:
        """Removes a metric."""
        await self._transport.request("DELETE", f"/v1/metrics/{_segment(name)}")

    # --- memory ------------------------------------------------------------------------------------------------------

    async def remember(self, memory: Mapping[str, Any]) -> Entity:
        """Adds a memory: text, and perhaps scope, name, type, metadata."""
        return Entity.model_validate(await self._post("/v1/memory", memory))

    async def search_memory(self, query: Mapping[str, Any]) -> MatchPage:
        """Finds memories: text, and perhaps mode, scopes, limit, min_similarity, where, type, half_life."""
        return MatchPage.model_validate(await self._post("/v1/memory/search", query))

    async def memories(
        self, *, scope: str = "workspace", type: str | None = None, after: str | None = None, limit: int = 50
    ) -> tuple[list[Entity], str | None]:
        """Memories of a scope by id, and where to go on."""
        found = await self._get("/v1/memory", scope=scope, type=type, after=after, limit=limit)
        return [Entity.model_validate(each) for each in found["memories"]], found.get("next")

    async def memory(self, memory_id: str) -> tuple[Entity, list[Relation]]:
        """A memory with its relations."""
        found = await self._get(f"/v1/memory/{_memory(memory_id)}")
        relations = [Relation.model_validate(each) for each in found["relations"]]
        return Entity.model_validate(found["memory"]), relations

    async def edit_memory(self, memory_id: str, changes: Mapping[str, Any]) -> Entity:
        """Corrects a memory: observations, name or metadata."""
        response = await self._transport.request("PATCH", f"/v1/memory/{_memory(memory_id)}", json=changes)
        return Entity.model_validate(response.json())

    async def delete_memory(self, memory_id: str) -> None:
        """Removes a memory with its relations."""
        await self._transport.request("DELETE", f"/v1/memory/{_memory(memory_id)}")

    async def relate_memories(
        self, source: str, relation: str, target: str, properties: Mapping[str, Any] | None = None
    ) -> Relation:
        """Relates two memories; a relation of the same type between them is replaced."""
        body = {"source": source, "type": relation, "target": target, "properties": dict(properties or {})}
        return Relation.model_validate(await self._post("/v1/memory/relations", body))

    async def unrelate_memories(self, relation_id: str) -> None:
        """Removes a relation."""
        await self._transport.request("DELETE", f"/v1/memory/relations/{_segment(relation_id)}")

    async def memory_graph(
        self, memory_id: str, *, hops: int = 1, direction: str = "both", types: list[str] | None = None
    ) -> list[MemoryPath]:
        """What is reached from a memory, the nearest first."""
        found = await self._get(
            f"/v1/memory/{_memory(memory_id)}/graph", hops=hops, direction=direction, type=types or None
        )
        return [MemoryPath.model_validate(each) for each in found["paths"]]

    async def purge_memory(
        self,
        *,
        scope: str | None = None,
        type: str | None = None,
        before: str | None = None,
        where: Mapping[str, Any] | None = None,
        can_be_undone: bool = True,
        dry_run: bool = True,
    ) -> PurgePreview:
        """Removes memories, or (`dry_run`) shows what would be removed."""
        body = given({"scope": scope, "type": type, "before": before, "where": where})
        body |= {"dry_run": dry_run, "can_be_undone": can_be_undone}
        return PurgePreview.model_validate(await self._post("/v1/memory/purge", body))

    async def edit_memories(
        self,
        changes: Mapping[str, Any],
        *,
        scope: str | None = None,
        type: str | None = None,
        before: str | None = None,
        where: Mapping[str, Any] | None = None,
        dry_run: bool = True,
    ) -> BulkPreview:
        """Changes many memories (set, unset, type), or (`dry_run`) shows which."""
        body = given({"scope": scope, "type": type, "before": before, "where": where})
        body |= {"dry_run": dry_run, "changes": changes}
        return BulkPreview.model_validate(await self._post("/v1/memory/edit", body))

    async def undo_memory(self, *, shared: bool = False, dry_run: bool = True) -> UndoView:
        """Undoes the last bulk operation, or a part of it: call again while something is `left`."""
        found = await self._post("/v1/memory/undo", {"dry_run": dry_run}, params=_of_all(shared))
        return UndoView.model_validate(found)

    async def reembed_memory(self, *, shared: bool = False) -> PageResult:
        """Embeds memories again after a change of the embedder: call again while something is `left`."""
        return PageResult.model_validate(await self._post("/v1/memory/reembed", {}, params=_of_all(shared)))

    async def memory_retention(self, *, shared: bool = False) -> RetentionView:
        """How long, and how much, is remembered."""
        return RetentionView.model_validate(await self._get("/v1/memory/retention", **_of_all(shared)))

    async def set_memory_retention(
        self, *, max_age: float | None, max_entities: int | None, shared: bool = False
    ) -> RetentionView:
        """Decides how long (seconds), and how much, is remembered."""
        body = {"max_age": max_age, "max_entities": max_entities}
        response = await self._transport.request("PUT", "/v1/memory/retention", params=_of_all(shared), json=body)
        return RetentionView.model_validate(response.json())

    async def apply_memory_retention(self, *, shared: bool = False) -> PurgePreview:
        """Removes now what is not to be remembered any more."""
        return PurgePreview.model_validate(await self._post("/v1/memory/retention/apply", {}, params=_of_all(shared)))

    def export_memory(self, *, shared: bool = False, after: str | None = None) -> AsyncIterator[str]:
        """The workspace's memories as lines of JSON, from behind a memory."""
        return self._transport.lines("/v1/memory/export", params={**_of_all(shared), "after": after})

    async def import_memory(
        self, content: bytes, *, shared: bool = False, operation: str | None = None, more: bool = False
    ) -> Imported:
        """Takes what an export wrote, or a part of it; parts of one `operation` are undone together."""
        params = {**_of_all(shared), "operation": operation, "more": "true" if more else None}
        response = await self._transport.request(
            "POST", "/v1/memory/import", params=params, content=content, timeout=DEPLOY_TIMEOUT
        )
        return Imported.model_validate(response.json())

    async def memory_stats(self) -> dict[str, MemoryCounts]:
        """How much is remembered, in the workspace and in what all workspaces share."""
        return {name: MemoryCounts.model_validate(each) for name, each in (await self._get("/v1/memory/stats")).items()}

    # --- governance --------------------------------------------------------------------------------------------------

    async def approvals(self, *, state: str | None = None, limit: int = 50) -> list[Approval]:
        """What waits, or waited, for a person; the latest request first."""
        found = await self._get("/v1/approvals", state=state, limit=limit)
        return [Approval.model_validate(each) for each in found["approvals"]]

    async def approval(self, approval_id: str) -> Approval:
        """One approval, with what has to be judged."""
        return Approval.model_validate(await self._get(f"/v1/approvals/{_segment(approval_id)}"))

    async def decide(self, approval_id: str, verdict: str, reason: str = "") -> Approval:
        """Decides on an approval: "grant" or "reject"."""
        return Approval.model_validate(
            await self._post(f"/v1/approvals/{_segment(approval_id)}/{_segment(verdict)}", {"reason": reason})
        )

    async def budgets(self) -> list[Budget]:
        """All budgets of the customer, with what is used of them."""
        return [Budget.model_validate(each) for each in (await self._get("/v1/budgets"))["budgets"]]

    async def set_budget(
        self, resource: str, period: str, limit: float, *, workspace: str | None = None, agent: str | None = None
    ) -> Budget:
        """Sets a budget.

        Args:
            resource: "tokens", "cost_usd" or "requests".
            period: "hour", "day", "month" or "total".
            limit: how much.
            workspace: without it, all workspaces.
            agent: without it, all agents.
        """
        body = {"resource": resource, "period": period, "limit": limit, "workspace": workspace, "agent": agent}
        return Budget.model_validate((await self._transport.request("PUT", "/v1/budgets", json=given(body))).json())

    async def remove_budget(
        self, resource: str, period: str, *, workspace: str | None = None, agent: str | None = None
    ) -> None:
        """Removes a budget."""
        params = {"resource": resource, "period": period, "workspace": workspace, "agent": agent}
        await self._transport.request("DELETE", "/v1/budgets", params=params)

    # --- keys --------------------------------------------------------------------------------------------------------

    async def keys(self) -> list[KeyView]:
        """All API keys of the customer, without the keys themselves."""
        return [KeyView.model_validate(key) for key in (await self._get("/v1/keys"))["keys"]]

    async def create_key(self, name: str, role: str, customer: str | None = None) -> NewKey:
        """Makes an API key. It is in the answer and nowhere else.

        Args:
            name: what the key is for.
            role: "viewer", "developer", "operator" or "admin".
            customer: whose key; only the server's own administrator may say.
        """
        body = given({"name": name, "role": role, "customer": customer})
        return NewKey.model_validate(await self._post("/v1/keys", body))

    async def revoke_key(self, key_id: str) -> None:
        """Makes a key worthless."""
        await self._transport.request("DELETE", f"/v1/keys/{_segment(key_id)}")

    # --- what all of them do -----------------------------------------------------------------------------------------

    async def _get(self, path: str, **params: Any) -> Any:
        return (await self._transport.request("GET", path, params=params)).json()

    async def _post(
        self,
        path: str,
        body: Any,
        *,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        timeout: float | None = 60.0,
    ) -> Any:
        response = await self._transport.request(
            "POST", path, params=params, json=body, idempotency_key=key, timeout=timeout
        )
        return response.json()

    async def _turn(self, path: str, body: Mapping[str, Any], wait: bool, key: str | None) -> TurnView:
        response = await self._transport.request(
            "POST",
            path,
            params={"wait": "true" if wait else "false"},
            json=given(body),
            idempotency_key=key or new_id("i"),
            timeout=TURN_TIMEOUT if wait else 60.0,
        )
        return TurnView.model_validate(response.json())


def _segment(name: object) -> str:
    """A name as one segment of a path, whatever it is made of.

    Raises:
        UsageError: it is empty.
    """
    text = str(name)
    if text in ("", ".", ".."):
        raise UsageError(f'"{text}" is no name or id')
    return quote(text, safe="")


def _memory(memory_id: str) -> str:
    """The segment of a memory's id.

    Raises:
        NotFound: no memory has such an id.
    """
    if not memory_id.startswith("mem_"):
        raise NotFound(f'there is no memory "{memory_id[:64]}"', "ids begin with mem_")
    return _segment(memory_id)


def _of_all(shared: bool) -> dict[str, Any]:
    """The query that means the memories of all workspaces rather than the workspace's own."""
    return {"global": "true"} if shared else {}
