"""The scripted model: answers by the rules of the agent's script (:mod:`caxton.domain.scripts`), always the same way.

It keeps no state: which step comes next follows from how many results the execution has.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from caxton.adapters.models.script_rules import CompiledRule, CompiledScript, compile_script
from caxton.domain.agents import AgentVersion
from caxton.domain.costly_work import COSTLY_WORK
from caxton.domain.errors import CAUSE, ExecutionFailed, Hint, InvalidInput, NoScriptRule
from caxton.domain.ports import (
    Awake,
    DeltaSink,
    FunctionCall,
    FunctionResult,
    ModelReply,
    ModelRequest,
    PromptPart,
    TemplateEngine,
)
from caxton.domain.scripts import ScriptStep
from caxton.domain.usage import Usage

MODEL = "scripted"

ERROR_CHARACTERS = 500
"""How much of a tool's error text goes into the execution's."""

_CACHED_PATTERNS = 500_000
"""Characters of all their regular expressions; each takes some 300 bytes."""

_CACHED_SCRIPTS = 512
_DELTAS = 6
_JSON_OPENINGS = frozenset('{["-0123456789tfn')


class ScriptedModel:
    """Answers requests by the agent's script."""

    def __init__(self, templates: TemplateEngine, sleep: Awake = asyncio.sleep) -> None:
        """Create the model.

        Args:
            templates: renders the texts of scripts.
            sleep: waits for a script's `delay`.
        """
        self._templates = templates
        self._sleep = sleep
        self._compiled: dict[str, CompiledScript] = {}

    async def respond(self, request: ModelRequest, on_delta: DeltaSink | None = None) -> ModelReply:
        """Does the next step of the rule that fits the request.

        Raises:
            ModelNotConfigured: the agent has no script.
            NoScriptRule: no rule fits.
            ExecutionFailed: a step failed and has no `on_error`, says `fail`, or has a template that does not fit; or
                the rule has no further step; its patterns or templates take too long, or the customer's did.
        """
        share = request.scope.customer, request.agent.digest
        async with COSTLY_WORK.lane(*share):
            script = self._script_of(request.agent)
            chosen = script.choose(request.request)
            if chosen is None:
                raise _no_rule(request.agent, script)
            reply = None if script.delay else self._reply(request, *chosen)
        if reply is None:
            await self._sleep(script.delay)
            async with COSTLY_WORK.lane(*share):
                reply = self._reply(request, *chosen)
        if on_delta is not None:
            for piece in _pieces(reply.text):
                on_delta(piece)
        return reply

    def _reply(self, request: ModelRequest, compiled: CompiledRule, match: Mapping[int | str, str]) -> ModelReply:
        results = _results(request.parts)
        step = _Step(self._templates, compiled, len(results), _variables(request, results, match))
        with self._templates.new_budget():
            return step.reply(results[-1] if results else None)

    def _script_of(self, agent: AgentVersion) -> CompiledScript:
        script = self._compiled.get(agent.digest)
        if script is None:
            script = self._compiled[agent.digest] = compile_script(agent)
            while len(self._compiled) > _CACHED_SCRIPTS or self._size() > _CACHED_PATTERNS:
                self._compiled.pop(next(iter(self._compiled)))
        return script

    def _size(self) -> int:
        return sum(script.size for script in self._compiled.values())


class _Step:
    """One step of a rule, for one request."""

    def __init__(
        self, templates: TemplateEngine, compiled: CompiledRule, position: int, variables: Mapping[str, Any]
    ) -> None:
        self._templates = templates
        self._compiled = compiled
        self._steps = compiled.rule.steps
        self._position = position
        self._variables = variables

    def reply(self, last: FunctionResult | None) -> ModelReply:
        if last is not None and last.is_error:
            return self._after_failure(last)
        if self._position >= len(self._steps):
            raise self._failure(
                "ends without a reply", Hint(text='end the rule with a step that has "reply"'), step=len(self._steps)
            )
        step = self._steps[self._position]
        if step.fail is not None:
            raise ExecutionFailed(self._text(step.fail), details=self._details(self._position + 1))
        if step.reply is not None:
            return self._answer(text=self._text(step.reply))
        if step.data is not None:
            return self._answer(text=self._json(step.data))
        return self._answer(call=self._call(step))

    def _after_failure(self, last: FunctionResult) -> ModelReply:
        """The result is that of the step before this one."""
        step = self._steps[min(self._position, len(self._steps)) - 1]
        if step.on_error is not None:
            return self._answer(text=self._text(step.on_error))
        asked = f'tool "{step.tool}"' if step.tool else f'capability "{step.capability}"'
        told = last.text.strip()[:ERROR_CHARACTERS] or "no further detail"
        failure = self._failure(
            f"failed ({asked}): {told}",
            Hint(text='give the step an "on_error" to reply all the same'),
            step=self._position,
        )
        failure.details[CAUSE] = "tool" if step.tool else "capability"
        raise failure

    def _call(self, step: ScriptStep) -> FunctionCall:
        call_id = f"call_{self._position + 1}"
        if step.tool is not None:
            arguments = cast("dict[str, Any]", self._data(step.arguments))
            return FunctionCall(id=call_id, name=step.tool, kind="tool", arguments=arguments)
        assert step.capability is not None  # the model of a step sees to it
        given = {"content": self._text(step.content)} if step.input is None else self._data(step.input)
        return FunctionCall(id=call_id, name=step.capability, kind="capability", arguments=given)

    def _answer(self, text: str = "", call: FunctionCall | None = None) -> ModelReply:
        return ModelReply(
            text=text,
            calls=[call] if call else [],
            model=MODEL,
            usage=Usage(model_calls=1, cost_usd=0.0),
            metadata={"scripted": True, "rule": self._compiled.label},
        )

    def _data(self, value: Any) -> Any:
        """`value` with every text in it rendered; a text that is one expression becomes that expression's value."""
        if isinstance(value, str):
            return self._evaluated(value, native=True)
        if isinstance(value, dict):
            return {key: self._data(item) for key, item in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self._data(item) for item in cast("list[Any]", value)]
        return value

    def _json(self, value: dict[str, Any]) -> str:
        return json.dumps(self._data(value), ensure_ascii=False, default=str)

    def _text(self, template: str) -> str:
        return self._evaluated(template, native=False)

    def _evaluated(self, template: str, *, native: bool) -> Any:
        try:
            if native:
                return self._templates.evaluate(template, self._variables)
            return self._templates.render(template, self._variables)
        except InvalidInput as error:
            step = min(self._position, len(self._steps) - 1) + 1
            failure = self._failure(f"cannot be done: {error.message}", *error.hints, step=step)
            failure.details.update({**error.details, CAUSE: "input"})
            raise failure from error

    def _failure(self, what: str, *hints: Hint, step: int) -> ExecutionFailed:
        return ExecutionFailed(f"step {step} of rule {self._compiled} {what}", *hints, details=self._details(step))

    def _details(self, step: int) -> dict[str, Any]:
        return {"rule": self._compiled.label, "step": step}


def _no_rule(agent: AgentVersion, script: CompiledScript) -> NoScriptRule:
    labels = [rule.label for rule in script.rules]
    return NoScriptRule(
        f'no rule of the script of agent "{agent.name}" fits the request',
        f"its rules: {', '.join(str(label) for label in labels[:20])}",
        'add a last rule without a "when": it always fits',
        details={"agent": agent.name, "rules": labels},
    )


def _opening(parts: Sequence[PromptPart]) -> int:
    """Position of the execution's request: the last entry of the user."""
    return max((position for position, part in enumerate(parts) if part.role == "user"), default=-1)


def _results(parts: Sequence[PromptPart]) -> list[FunctionResult]:
    """Results of the present execution, in order."""
    return [result for part in parts[_opening(parts) + 1 :] for result in part.results]


def _variables(
    request: ModelRequest, results: Sequence[FunctionResult], match: Mapping[int | str, str]
) -> dict[str, Any]:
    spec = request.agent.spec
    earlier = request.parts[: max(_opening(request.parts), 0)]
    return {
        "request": request.request,
        "input": request.input,
        "parameters": spec.parameters,
        "variables": dict(request.variables),
        "files": [dict(file) for file in request.files],
        "memories": [dict(memory) for memory in request.memories],
        "results": [_seen(result) for result in results],
        "match": match,
        "history": [part.text for part in earlier if part.text],
        "agent": {"name": spec.name, "version": spec.version, "description": spec.description},
    }


def _seen(result: FunctionResult) -> dict[str, Any]:
    structured = result.structured if result.structured is not None else _parsed(result.text)
    return {"name": result.name, "text": result.text, "json": structured, "is_error": result.is_error}


def _parsed(text: str) -> Any:
    if text[:64].lstrip()[:1] not in _JSON_OPENINGS:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _pieces(text: str) -> Iterator[str]:
    """`text` in a few pieces that end where words end, as a model would send it."""
    size = max(24, len(text) // _DELTAS)
    start = 0
    while start < len(text):
        end = text.find(" ", start + size) + 1
        end = end if 0 < end <= start + 2 * size else start + size
        yield text[start:end]
        start = end
