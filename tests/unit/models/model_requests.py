"""Requests as the runtime makes them, for tests of models."""

from collections.abc import Sequence
from typing import Any

from caxton.domain.agents import AgentSpec, AgentVersion, ModelSettings
from caxton.domain.ids import ExecutionId, Scope, digest_of
from caxton.domain.ports import FunctionCall, FunctionResult, FunctionSpec, ModelRequest, PromptPart

KEY = "sk-test-hunter2"

DIALECTS = ["chat:gpt-4o", "responses:gpt-5", "claude:claude-haiku-4-5"]
"""One model of each dialect that the mock speaks, as the fixture `models` configures them."""

PARSE = FunctionSpec(
    name="csv-tools.parse",
    kind="tool",
    description="Reads CSV",
    schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
)
ANALYZE = FunctionSpec(
    name="analyze-data",
    kind="capability",
    description="Asks another agent",
    schema={"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]},
)


def agent(
    model: str | list[str] = "scripted", rules: list[dict[str, Any]] | None = None, **fields: Any
) -> AgentVersion:
    script = None if rules is None else {"rules": rules, "delay": fields.pop("delay", 0.0)}
    spec = AgentSpec.model_validate(
        {"name": "analyst", "version": "1.0.0", "capabilities": ["analyze-data"], "model": model, **fields}
    )
    digest = digest_of(repr((spec, script)).encode())
    return AgentVersion(spec=spec, script=script, digest=digest)


def request(
    version: AgentVersion,
    text: str = "chart the sales",
    results: Sequence[FunctionResult] = (),
    *,
    functions: Sequence[FunctionSpec] = (),
    history: Sequence[PromptPart] = (),
    calls: Sequence[FunctionCall] = (),
    variables: dict[str, Any] | None = None,
    **settings: Any,
) -> ModelRequest:
    parts = [*history, PromptPart(role="user", text=text)]
    if calls:
        parts += [PromptPart(role="assistant", calls=calls), PromptPart(role="results", results=results)]
    else:
        parts += [PromptPart(role="results", results=[result]) for result in results]
    return ModelRequest(
        agent=version,
        scope=Scope(),
        execution_id=ExecutionId("e_1"),
        step=len(results) + 1,
        request=text,
        system_prompt="You analyse data.",
        parts=parts,
        functions=functions,
        settings=ModelSettings(**settings),
        variables=variables or {},
    )


def result(text: str = "done", structured: Any = None, *, is_error: bool = False) -> FunctionResult:
    return FunctionResult(id="call_1", name="csv-tools.parse", text=text, structured=structured, is_error=is_error)
