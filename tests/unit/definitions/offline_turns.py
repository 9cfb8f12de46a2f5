"""Turns without a server: the real scripted model, templates and sandbox, joined by a loop as small as can be."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caxton.adapters import templates
from caxton.adapters.models.scripted import ScriptedModel
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.definitions.agents import AgentSource
from caxton.definitions.workspace import Workspace, load_workspace
from caxton.domain.agent_modules import AgentState
from caxton.domain.agents import AgentVersion
from caxton.domain.capabilities import CapabilityRequest
from caxton.domain.errors import NoCapableAgent
from caxton.domain.ids import Digest, ExecutionId, Scope
from caxton.domain.ports import FunctionCall, FunctionResult, ModelRequest, PromptPart
from caxton.domain.tools import ToolVersion


class WorkspaceBlobs:
    """The contents of a workspace, as the sandbox asks for them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    async def get(self, customer: str, digest: Digest) -> bytes:
        return self.workspace.content(digest)


class OfflineWorkspace:
    """The agents of a workspace at work, hand-overs included."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.workspace = load_workspace(folder, known_tools={})
        assert self.workspace.errors == []
        self.sandbox = WasmtimeSandbox(WorkspaceBlobs(self.workspace), cache, size=1)  # type: ignore[arg-type]
        self.model = ScriptedModel(templates)
        self.tools: dict[str, ToolVersion] = {}
        self.calls: list[str] = []
        self.files: dict[str, str] = {}

    async def described_tool(self, name: str) -> ToolVersion:
        if name not in self.tools:
            version = next(tool.version for tool in self.workspace.tools if tool.name == name)
            functions = await self.sandbox.describe("local", version.manifest, version.files)
            self.tools[name] = version.model_copy(update={"functions": list(functions)})
        return self.tools[name]

    async def ask(self, capability: str, text: str) -> str:
        agent = self._offering(capability)
        if agent is None:
            raise NoCapableAgent(f'no agent offers the capability "{capability}"')
        return await self._answer(agent.version, text)

    def _offering(self, capability: str) -> AgentSource | None:
        name = CapabilityRequest.parse(capability).name
        return next((agent for agent in self.workspace.agents if agent.version.spec.offers(name)), None)

    async def _answer(self, agent: AgentVersion, text: str) -> str:
        if agent.module is not None:
            message = json.dumps({"request": text, "step": 1, "results": []})
            handled = await self.sandbox.handle("local", agent.module, message, AgentState())
            assert handled.answer is not None, handled.refusal
            return handled.answer.text
        parts = [PromptPart("user", text)]
        for step in range(agent.spec.limits.steps):
            reply = await self.model.respond(_request(agent, text, step, parts), lambda _: None)
            if not reply.calls:
                return reply.text
            results = [await self._result(call) for call in reply.calls]
            parts += [PromptPart("assistant", reply.text, calls=reply.calls), PromptPart("results", results=results)]
        raise AssertionError("the limit on steps was reached")

    async def _result(self, call: FunctionCall) -> FunctionResult:
        self.calls.append(call.name)
        if call.kind == "capability":
            try:
                return FunctionResult(call.id, call.name, await self.ask(call.name, call.arguments["content"]))
            except NoCapableAgent as error:
                return FunctionResult(call.id, call.name, error.message, is_error=True)
        server, _, function = call.name.partition(".")
        result = await self.sandbox.call("local", await self.described_tool(server), function, call.arguments)
        for part in result.content:
            if part.get("type") == "resource":
                self.files[Path(part["resource"]["uri"]).name] = part["resource"]["text"]
        return FunctionResult(call.id, call.name, result.text(), result.structured, result.is_error)


def _request(agent: AgentVersion, text: str, step: int, parts: Sequence[PromptPart]) -> ModelRequest:
    variables: Mapping[str, Any] = {}
    return ModelRequest(
        agent=agent,
        scope=Scope(),
        execution_id=ExecutionId("x_test"),
        step=step,
        request=text,
        system_prompt=agent.spec.system_prompt,
        parts=list(parts),
        functions=[],
        settings=agent.spec.model_settings,
        variables=variables,
    )
