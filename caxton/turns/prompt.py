"""The prompt of a model: read from the store at once, rendered outside of the transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from caxton.domain.agents import AgentVersion
from caxton.domain.caller_context import KEY as CONTEXT
from caxton.domain.caller_context import CallerContext
from caxton.domain.capabilities import Capability
from caxton.domain.costly_work import COSTLY_WORK
from caxton.domain.errors import ExecutionReplaced, MemoryUnavailable
from caxton.domain.events import agent_actor
from caxton.domain.executions import Execution, ExecutionState, StepInput
from caxton.domain.files import as_told
from caxton.domain.forks import ANSWER, EARLIER, Earlier, HandedOver
from caxton.domain.grants import ToolGrant
from caxton.domain.ids import ExecutionId, Scope, derived_id
from caxton.domain.json_schemas import as_json
from caxton.domain.memory import MemoryQuery
from caxton.domain.messages import EarlierMessage, Message
from caxton.domain.placed_files import shifted
from caxton.domain.ports import (
    FunctionCall,
    FunctionResult,
    FunctionSpec,
    ModelRequest,
    OutputSchema,
    PromptFile,
    PromptPart,
)
from caxton.domain.records import ExecutionRecord, HistoryWanted, StepRecord, Transaction
from caxton.domain.tools import Artifact, ToolVersion
from caxton.domain.usage import Usage
from caxton.memory.memories import scopes_of
from caxton.memory.tools import told
from caxton.recording.contents import fetch, unpack
from caxton.routing.directory import Directory
from caxton.turns.artifacts import prompt_file
from caxton.turns.caller_functions import as_parts, functions_of
from caxton.turns.functions import hand_overs, tool_functions
from caxton.turns.known_steps import Children, Known
from caxton.turns.step import StepPorts

QUERY_LIMIT = 8_000
"""Characters of a request that are searched for: its embedding reads fewer."""


@dataclass
class Prompt:
    """Everything that a model request is made of."""

    step: StepInput
    record: ExecutionRecord
    agent: AgentVersion
    message: Message
    history_wanted: HistoryWanted | None
    """Which messages the model is to see besides: read for all prompts of a batch at once, into `history`."""
    steps: list[StepRecord]
    children: Children
    tools: dict[str, ToolVersion]
    grants: Mapping[str, Sequence[ToolGrant]]
    """What is granted to the workspace's tools."""
    functions: list[FunctionSpec]
    asked_by: str
    history: list[EarlierMessage] = field(default_factory=list[EarlierMessage])
    known: Known = field(default_factory=Known)
    """What the worker keeps of the steps from one model call to the next."""
    artifacts: list[Artifact] = field(default_factory=list[Artifact])
    any_scripted: bool = False
    memories: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    memory_failed: bool = False

    @property
    def usage(self) -> Usage:
        """What the execution has used so far."""
        return self.record.usage_after(self.steps)

    def after(self, step: StepInput, done: Sequence[StepRecord], usage: Usage) -> "Prompt":
        """What the model is to see in the next step, after what was `done` in this one and used so far."""
        execution = self.record.execution.model_copy(update={"usage": usage})
        prompt = replace(
            self,
            step=step,
            record=replace(self.record, execution=execution),
            steps=[*self.steps, *done],
            artifacts=[],
            any_scripted=False,
        )
        _collect(prompt)
        return prompt

    async def request(self, ports: StepPorts) -> ModelRequest:
        """The model request, with templates rendered, long contents fetched and memories found."""
        scope = self.step.scope
        text = await unpack(ports.blobs, scope, self.message.content)
        await self._remind(ports, text)
        # What Caxton itself said in an agent's place, such as an error, is not the agent's: models take up what they "said".
        # A turn that a later one has replaced counts as not said.
        replaced = {each.execution_id for each in self.history if each.error_code == ExecutionReplaced.code}
        shown = [
            each
            for each in self.history
            if not each.is_of_caxton and not each.is_part_way and each.execution_id not in replaced
        ]
        history = [
            (each, (each.text or "") if each.digest is None else await fetch(ports.blobs, scope, each.digest))
            for each in shown
        ]
        given, brought = self._input(text), self.brought
        most = self.agent.spec.limits.history
        earlier = brought.history[-most:] if most else []
        spoken = [(message.sender, said) for message, said in history]
        spoken += [(said.role, said.text) for said in earlier if said.text]
        files = self._files(ports, self.message.artifacts, required=not self.record.execution.depth)
        variables: dict[str, Any] = {
            "request": text,
            "input": given,
            "parameters": self.agent.spec.parameters,
            "variables": self.record.variables,
            "context": "\n".join(f"{sender}: {said}" for sender, said in spoken),
            "history": [{"sender": sender, "text": said} for sender, said in spoken],
            "memories": self.memories,
            "files": [as_told(file) for file in self.message.artifacts],
            "agent": {
                "name": self.agent.name,
                "version": self.agent.spec.version,
                "description": self.agent.spec.description,
            },
            "conversation": {"id": self.record.execution.conversation_id},
        }
        parts = [
            PromptPart("user", said, files=self._files(ports, message.artifacts, required=False), places=message.places)
            if message.sender == "user"
            else PromptPart("assistant", said)
            for message, said in history
        ]
        parts += as_parts(earlier)
        async with COSTLY_WORK.lane(scope.customer, self.agent.digest):
            with ports.templates.new_budget():
                user_prompt = ports.templates.render(self.agent.spec.user_prompt_template, variables)
                system_prompt = ports.templates.render(self.agent.spec.system_prompt, variables)
        parts.append(PromptPart("user", user_prompt, files=files, places=shifted(brought.places, text, user_prompt)))
        parts += as_parts(brought.since)
        parts += await self._exchanges(ports)
        return ModelRequest(
            agent=self.agent,
            scope=scope,
            execution_id=self.step.execution_id,
            step=self.step.step,
            request=text,
            system_prompt=_joined(system_prompt, brought.instructions) + _reminder(self.memories),
            parts=parts,
            functions=[*self.functions, *functions_of(brought)],
            choice=brought.choice,
            parallel=brought.parallel,
            settings=self.agent.spec.model_settings,
            variables=self.record.variables,
            memories=self.memories,
            input=given,
            output=self._output(brought),
            stop=brought.stop,
            files=[as_told(file) for file in self.message.artifacts],
        )

    def _files(self, ports: StepPorts, artifacts: Sequence[Artifact], *, required: bool) -> list[PromptFile]:
        """The files that go with a message."""
        return [prompt_file(ports.blobs, self.step.scope, file, required=required) for file in artifacts]

    @cached_property
    def brought(self) -> CallerContext:
        """What the caller brought along."""
        return CallerContext.model_validate(self.message.metadata.get(CONTEXT, {}))

    @property
    def offered(self) -> Capability | None:
        """The capability that is asked for, as the agent offers it."""
        assert self.step.plan is not None
        name = self.step.plan.capability
        return self.agent.spec.offers(name) if name else None

    def _input(self, text: str) -> dict[str, Any]:
        """The request as an object, which was checked when the execution was opened."""
        if self.offered is None or self.offered.input_schema is None:
            return {}
        return json.loads(text)

    def _output(self, context: CallerContext) -> OutputSchema | None:
        """What the reply has to be: as the capability says, else as the caller wants it."""
        offered = self.offered
        if offered is not None and offered.output_schema is not None and offered.output_json is not None:
            schema, text = offered.output_schema, offered.output_json
            return OutputSchema(offered.name, schema, text, offered.description, offered.output_repairs)
        if context.output is not None:
            return OutputSchema(offered.name if offered else self.agent.name, context.output, as_json(context.output))
        return None

    async def _remind(self, ports: StepPorts, text: str) -> None:
        """Looks into memory before the first step; later steps see what the first one saw."""
        settings = self.agent.spec.memory
        if not settings.enabled:
            return
        first = next((step for step in self.steps if step.kind == "model" and step.step == 1), None)
        if first is not None:
            self.memories = first.payload.get("memories", [])
            self.memory_failed = bool(first.payload.get("memory_failed"))
            return
        if self.step.plan is not None and self.step.plan.rehearses is not None:
            return  # it sees what was remembered then
        if ports.memories is None:
            self.memory_failed = True
            return
        query = MemoryQuery(
            text=text[:QUERY_LIMIT] or " ",
            scopes=scopes_of(self.agent.spec, self.record.execution.conversation_id),
            limit=settings.search_limit,
            min_similarity=settings.min_similarity,
        )
        try:
            actor = agent_actor(self.agent.name)
            found = await ports.memories.recall(self.step.scope, query, actor, agent=self.agent.name)
        except MemoryUnavailable:
            self.memory_failed = True  # the agent goes on without, and the reply says so
            return
        self.memories = [told(match) for match in found]

    async def _exchanges(self, ports: StepPorts) -> list[PromptPart]:
        """This execution's calls so far, each followed by its results."""
        known = self.known
        parts = list(known.parts)
        results: dict[tuple[int, int], StepRecord] = {}
        models: list[StepRecord] = []
        for step in reversed(self.steps):
            if step.step < known.parts_until:
                break
            if step.kind == "tool":
                results[step.step, step.call] = step
            elif step.kind == "model":
                models.append(step)
        for step in reversed(models):
            calls: list[dict[str, Any]] = step.payload["calls"]
            parts.append(
                PromptPart(
                    "assistant",
                    step.payload.get("text", ""),
                    calls=[FunctionCall(c["id"], c["name"], _called_as(c), c["arguments"]) for c in calls],
                    model=step.payload.get("model", ""),
                    given=step.payload.get("given", {}),
                )
            )
            answers = [await self._result(ports, step, call, results.get((step.step, call["call"]))) for call in calls]
            parts.append(PromptPart("results", results=answers))
        if self.step.step == known.next:
            known.parts, known.parts_until = parts, known.next
            parts = list(parts)
        return parts

    async def _result(
        self, ports: StepPorts, step: StepRecord, call: dict[str, Any], tool: StepRecord | None
    ) -> FunctionResult:
        if call["kind"] == "tool":
            payload: dict[str, Any] = tool.payload if tool else {"text": "the call has no result", "is_error": True}
            shown = set(payload.get("shown", ()))
            made = [Artifact.model_validate(each) for each in payload.get("artifacts", ()) if each["digest"] in shown]
            return FunctionResult(
                call["id"],
                call["name"],
                payload["text"],
                payload.get("structured"),
                bool(payload.get("is_error")),
                [prompt_file(ports.blobs, self.step.scope, file, required=False) for file in made],
            )
        if ANSWER in call:
            answer = HandedOver.model_validate(call[ANSWER])
            text = await unpack(ports.blobs, self.step.scope, answer.content)
            return FunctionResult(call["id"], call["name"], text, answer.data, answer.is_error)
        child = self.children.get(child_id(step.execution_id, step.step, call["call"]))
        if child is None or child[1] is None:
            return FunctionResult(call["id"], call["name"], "the other agent gave no answer", None, is_error=True)
        execution, message = child[0], child[1]
        text = await unpack(ports.blobs, self.step.scope, message.content)
        is_error = execution.state is not ExecutionState.COMPLETED
        return FunctionResult(call["id"], call["name"], text, message.data, is_error)


def _called_as(call: Mapping[str, Any]) -> Literal["tool", "capability", "caller", "unknown"]:
    """What the model called; a call with a mistake is made as a tool's, whatever it was meant to be."""
    return call.get("called_as", call["kind"])


def _joined(system_prompt: str, instructions: str) -> str:
    """The agent's system prompt, and behind it what its caller wants besides."""
    return "\n\n".join(text for text in (system_prompt, instructions) if text)


def _reminder(memories: Sequence[Mapping[str, Any]]) -> str:
    """What the model is told of its memories, each with where it comes from."""
    if not memories:
        return ""
    lines = [f"- ({memory['at']}, {_source(memory['from'])}) {memory['text']}" for memory in memories]
    return "\n\nFrom memory, which may be out of date; say where it comes from when you use it:\n" + "\n".join(lines)


def _source(provenance: Mapping[str, Any]) -> str:
    parts = [provenance.get("agent") or provenance.get("actor") or "unknown"]
    if provenance.get("conversation_id"):
        parts.append(f"conversation {provenance['conversation_id']}")
    return ", ".join(parts)


def child_id(parent: ExecutionId, step: int, call: int) -> ExecutionId:
    """The execution of a hand-over; the workflow derives the same (`caxton.workflows.turn.child_execution_id`)."""
    return ExecutionId(derived_id("x", parent, str(step), str(call)))


def read_prompt(
    transaction: Transaction,
    directory: Directory,
    step: StepInput,
    record: ExecutionRecord,
    message: Message,
    known: Known,
) -> Prompt:
    """Reads what the model is to see in this step."""
    scope, execution = step.scope, record.execution
    assert step.plan is not None
    agent = directory.agent_version(transaction, scope, step.plan.agent_digest)
    registry = directory.registry(transaction, scope)
    tools = {name.partition(".")[0]: None for name in agent.spec.tools}
    available = {name: tool for name in tools if (tool := registry.running_tool(name)) is not None}
    prompt = Prompt(
        step=step,
        record=record,
        agent=agent,
        message=message,
        history_wanted=_history_wanted(step, agent, execution, message),
        steps=list(known.steps),
        children=dict(known.children),
        known=known,
        tools=available,
        grants=registry.grants,
        functions=[*tool_functions(agent, available), *hand_overs(agent, registry)],
        asked_by=message.sender,
    )
    _collect(prompt)
    if step.plan.rehearses is not None and step.step == 1:
        first = transaction.step(scope, step.plan.rehearses, 1, 0)
        prompt.memories = first.payload.get("memories", []) if first and agent.spec.memory.enabled else []
    return prompt


def read_children(transaction: Transaction, scope: Scope, steps: Sequence[StepRecord]) -> Children:
    """The executions that were handed over in `steps`, with their replies."""
    ids = [
        child_id(step.execution_id, step.step, call["call"])
        for step in steps
        if step.kind == "model"
        for call in step.payload["calls"]
        if call["kind"] == "capability" and ANSWER not in call
    ]
    if not ids:
        return {}
    found = transaction.executions(scope, ids)
    return {
        record.execution.id: (
            record.execution,
            transaction.message(scope, record.reply_id) if record.reply_id else None,
        )
        for record in found.values()
    }


def _history_wanted(
    step: StepInput, agent: AgentVersion, execution: Execution, message: Message
) -> HistoryWanted | None:
    """What user and agents said before: nothing in a one-shot request, or in work that was handed over."""
    if not agent.spec.limits.history:
        return None
    if EARLIER in message.metadata:
        earlier = Earlier.model_validate(message.metadata[EARLIER])
        return HistoryWanted(earlier.conversation_id, earlier.before, agent.spec.limits.history)
    if execution.depth or step.one_shot:
        return None
    return HistoryWanted(execution.conversation_id, message.created_at, agent.spec.limits.history)


def _collect(prompt: Prompt) -> None:
    """Files that tools made, here or below, belong to the reply; so does the fact that a script had a part in it."""
    for step in prompt.steps:
        if step.kind == "tool":
            prompt.artifacts += [Artifact.model_validate(item) for item in step.payload.get("artifacts", [])]
            continue
        if step.payload.get("metadata", {}).get("scripted"):
            prompt.any_scripted = True
        for call in step.payload.get("calls", []):
            if ANSWER in call:
                answer = HandedOver.model_validate(call[ANSWER])
                prompt.artifacts += answer.artifacts
                prompt.any_scripted = prompt.any_scripted or answer.scripted
    for _, message in prompt.children.values():
        if message is not None:
            prompt.artifacts += message.artifacts
            prompt.any_scripted = prompt.any_scripted or bool(message.metadata.get("scripted"))
