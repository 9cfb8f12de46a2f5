"""The functions that a model may call: those of tools, and hand-overs to other agents."""

from typing import Any

from caxton.domain.agents import AgentVersion
from caxton.domain.capabilities import version_matches
from caxton.domain.ports import FunctionSpec
from caxton.domain.tools import ToolVersion
from caxton.routing.directory import Registry

HAND_OVER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "content": {
            "type": "string",
            "description": "The whole task, with all data that it needs: the other agent sees nothing else.",
        }
    },
    "required": ["content"],
    "additionalProperties": False,
}


def tool_functions(agent: AgentVersion, tools: dict[str, ToolVersion]) -> list[FunctionSpec]:
    """The functions of `tools` that the agent may call."""
    return [
        FunctionSpec(f"{name}.{function.name}", "tool", function.description, function.inputSchema)
        for name, tool in tools.items()
        for function in tool.functions
        if agent.spec.allows_tool(name, function.name)
    ]


def hand_overs(agent: AgentVersion, registry: Registry) -> list[FunctionSpec]:
    """The capabilities to which the agent may hand work over."""
    specs: list[FunctionSpec] = []
    for request in agent.spec.delegates:
        providers = registry.index.providers.get(request.name, ())
        offered = next(
            (
                registry.index.agents[provider.agent].spec.offers(request.name)
                for provider in providers
                if version_matches(provider.version, request.version_range)
            ),
            None,
        )
        about = offered.description if offered and offered.description else f'the capability "{request.name}"'
        schema = offered.input_schema if offered else None
        specs.append(
            FunctionSpec(
                str(request),
                "capability",
                f"Hands work over to another agent: {about}",
                HAND_OVER_SCHEMA if schema is None else schema,
                typed=schema is not None,
            )
        )
    return specs
