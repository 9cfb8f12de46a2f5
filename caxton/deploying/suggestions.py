"""What a deployment gives a thought to: hints of a tool's server, of which Caxton makes suggestions, never rights."""

from collections.abc import Iterable

from caxton.domain.agents import AgentSpec
from caxton.domain.tools import ToolVersion

MOST = 10
"""Suggestions of one tool."""


def suggestions(tool: ToolVersion | None, agents: Iterable[AgentSpec]) -> list[str]:
    """For each agent that may call what a server outside of the sandbox calls destructive, that a person might agree before."""
    if tool is None or tool.manifest.is_sandboxed:
        return []
    harmful = [function.name for function in tool.functions if function.suggests_approval]
    found: list[str] = []
    for spec in sorted(agents, key=lambda spec: spec.name):
        called = [
            function
            for function in harmful
            if spec.allows_tool(tool.name, function) and not spec.policy_for(tool.name, function).needs_approval
        ]
        found += [
            f"{tool.name}.{function} is destructive, says its server, and {spec.name} may call it unasked: "
            f'write approval_mode = "operator" under [tool_policies."{tool.name}.{function}"]'
            for function in called
        ]
    return found[:MOST]
