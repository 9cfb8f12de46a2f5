"""All tools behind one door: modules in their sandboxes, and ordinary MCP servers outside of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from caxton.adapters.mcp.servers import McpServers
from caxton.domain.agent_modules import AgentState, Handled
from caxton.domain.grants import NOTHING, Rights
from caxton.domain.ids import Digest
from caxton.domain.ports import Sandbox
from caxton.domain.questions import Answer
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion


class AllTools:
    """The port `Sandbox`, which see, for tools of both kinds and for agents that are modules."""

    def __init__(self, sandbox: Sandbox, servers: McpServers) -> None:
        """Send modules to `sandbox`, and what has an `[mcp_server]` to `servers`."""
        self._sandbox = sandbox
        self._servers = servers

    async def describe(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], rights: Rights = NOTHING
    ) -> Sequence[ToolFunction]:
        """What the tool offers."""
        if manifest.is_sandboxed:
            return await self._sandbox.describe(customer, manifest, files, rights)
        return await self._servers.describe(customer, manifest, rights)

    async def check(self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments, and calls nothing."""
        checker = self._sandbox if tool.manifest.is_sandboxed else self._servers
        await checker.check(customer, tool, function, arguments)

    async def call(
        self,
        customer: str,
        tool: ToolVersion,
        function: str,
        arguments: Mapping[str, Any],
        *,
        workspace: str = "",
        rights: Rights = NOTHING,
        brief: bool = False,
        answers: Sequence[Answer] | None = None,
    ) -> ToolResult:
        """Calls a function."""
        if tool.manifest.is_sandboxed:
            return await self._sandbox.call(
                customer, tool, function, arguments, workspace=workspace, rights=rights, brief=brief
            )
        return await self._servers.call(
            customer, tool, function, arguments, workspace=workspace, rights=rights, answers=answers
        )

    async def inspect(self, customer: str, module: ToolVersion) -> None:
        """Compiles the component of an agent."""
        await self._sandbox.inspect(customer, module)

    async def handle(
        self,
        customer: str,
        module: ToolVersion,
        message: str,
        state: AgentState,
        *,
        rights: Rights = NOTHING,
        brief: bool = False,
    ) -> Handled:
        """Runs one step of an agent."""
        return await self._sandbox.handle(customer, module, message, state, rights=rights, brief=brief)
