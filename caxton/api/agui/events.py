"""A turn as AG-UI tells it: events of a stream become events of the protocol, in the order that it demands."""

from datetime import datetime
from typing import Any, cast

from caxton.api.agui.speech import Speech
from caxton.api.agui.told import Told, call_id, interrupt
from caxton.domain.errors import ErrorReport, ExecutionCancelled
from caxton.domain.executions import TurnView
from caxton.domain.governance import ApprovalState
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent

VERSION = "1.0"
"""Of the protocol."""

CANCELLED = frozenset(each.code for each in (ExecutionCancelled, *ExecutionCancelled.__subclasses__()))

Event = dict[str, Any]


class Run:
    """One run: a turn, or the part of one behind an interrupt."""

    def __init__(self, thread: str, run: str, turn: TurnView, told: Told) -> None:
        """Tell of `turn` as the run `run` of a thread."""
        self.thread = thread
        self.run = run
        self.turn = turn
        self.told = told
        self.ended = False
        self.steps: dict[str, str] = {}
        """Names of the steps that are open, by execution."""
        self.speech: Speech | None = None
        self._text_id = ""
        """Of the agent's last text, under which it was told while it was made."""

    # --- begin -------------------------------------------------------------------------------------------------------

    def begin(self, state: Any) -> list[Event]:
        """What stands before everything else."""
        facts = {
            "execution_id": self.turn.execution_id,
            "conversation_id": self.turn.conversation_id,
            "status": "running",
        }
        known = cast("dict[str, Any]", state) if isinstance(state, dict) else {}
        started = [self._of_run("RUN_STARTED", protocolVersion=VERSION)]
        started.append({"type": "STATE_SNAPSHOT", "snapshot": {**known, "caxton": facts}})
        return started + [_step_started(name) for name in self.steps.values()]

    def know(self, entry: StreamEvent) -> None:
        """Takes a step that the client has been told of."""
        execution = _execution(entry.id)
        if execution == self.turn.execution_id and entry.data["kind"] == "model":
            self._text_id = str(entry.data.get("text_id", ""))
        if entry.data["kind"] == "open":
            self.steps[execution] = self._name(str(entry.data["agent"]))
        elif entry.data["kind"] == "handover":
            self.steps.pop(execution, None)

    # --- on the way --------------------------------------------------------------------------------------------------

    async def tell(self, event: StreamEvent) -> list[Event]:
        """What an event of the turn's stream is told as."""
        match event.kind:
            case "delta":
                return self._delta(event)
            case "reset":
                return self._end_speech()  # what was said in vain stays a message of its own
            case "step":
                return await self._step(event)
            case "reply" | "error":
                return await self._end(event)
            case _:
                return []

    def _delta(self, event: StreamEvent) -> list[Event]:
        text, end = str(event.data["text"]), _end_of(event.id)
        identity = self._message_id(str(event.data.get("text_id", "")))
        begun = [] if self.speech is not None and self.speech.id == identity else self._begin_speech(identity)
        return [*begun, self._say(text, end)]

    async def _step(self, event: StreamEvent) -> list[Event]:
        data, execution = event.data, _execution(event.id)
        if data["kind"] in ("open", "model"):
            self.know(event)
        match data["kind"]:
            case "open":
                return [_step_started(self.steps[execution])]
            case "handover":
                return await self._handed_back(execution)
            case "model" if data.get("calls"):
                return await self._calls(ExecutionId(execution), event.id)
            case "tool":
                return await self._result(ExecutionId(execution), event.id)
            case "approval" if data.get("state") == ApprovalState.PENDING:
                return await self._asked(ExecutionId(execution), event.id)
            case _:
                return []

    async def _asked(self, execution: ExecutionId, entry: str) -> list[Event]:
        """Ends the run with all that the calls of one answer ask for: none of them comes when the run is over."""
        step = int(entry.split(".")[2])
        return await self.interrupted() if await self.told.all_asked(execution, step) else []

    async def _calls(self, execution: ExecutionId, entry: str) -> list[Event]:
        step, _ = _place(entry)
        record = await self.told.model_step(execution, step)
        if record is None:
            return []
        told: list[Event] = []
        parent: str | None = None
        if execution == self.turn.execution_id:
            told = self._said(str(record.payload.get("text") or ""), f"{execution}.{step}")
            parent = told[-1]["messageId"] if told else None
        for call in record.payload.get("calls", []):
            identity = call_id(execution, step, call["call"])
            start: Event = {"type": "TOOL_CALL_START", "toolCallId": identity, "toolCallName": call["name"]}
            told.append({**start, "parentMessageId": parent} if parent else start)
            told.append({"type": "TOOL_CALL_ARGS", "toolCallId": identity, "delta": self.told.arguments(call)})
            told.append({"type": "TOOL_CALL_END", "toolCallId": identity})
        return told

    def _said(self, text: str, identity: str) -> list[Event]:
        """Ends what the agent says, which is `text`, after what the client does not have of it.

        Where nobody heard it while it was made, or the client has missed a part, it is a message with this `identity`.
        """
        speech = self.speech
        rest = None if speech is None else speech.rest(text)
        if rest is None:
            known = self._message_id(self._text_id) if self._text_id else identity
            begun = self._begin_speech(identity if speech is not None and speech.id == known else known) if text else []
            rest = text
        else:
            begun = []
        said = [self._say(rest, len(text))] if rest else []
        return [*begun, *said, *self._end_speech()]

    async def _result(self, execution: ExecutionId, entry: str) -> list[Event]:
        step, call = _place(entry)
        return [_result(call_id(execution, step, call), await self.told.result(execution, step, call))]

    async def _handed_back(self, execution: str) -> list[Event]:
        name = self.steps.pop(execution, None)
        told = [_step_finished(name)] if name else []
        found = await self.told.handed_back(ExecutionId(execution))
        return told if found is None else [*told, _result(*found)]

    # --- the end -----------------------------------------------------------------------------------------------------

    async def interrupted(self, until: datetime | None = None) -> list[Event]:
        """Ends the run if the turn waits for a person: for what was asked `until` then, if that is given."""
        pending = await self.told.pending()
        if not any(until is None or approval.requested_at <= until for approval in pending):
            return []  # decided meanwhile
        self.ended = True
        outcome = {"type": "interrupt", "interrupts": [interrupt(approval) for approval in pending]}
        return [*self._closed("waiting"), self._of_run("RUN_FINISHED", outcome=outcome)]

    async def _end(self, event: StreamEvent) -> list[Event]:
        self.ended = True
        turn = self.turn = TurnView.model_validate(event.data if event.kind == "reply" else event.data["turn"])
        if turn.state == "failed":
            return self._failed(turn.error or ErrorReport(code="execution_failed", message="the turn failed"))
        told = self._said(await self.told.reply(turn), f"{turn.execution_id}.reply")
        told += self._closed("completed")
        files = [file.model_dump(mode="json") for file in turn.reply.artifacts] if turn.reply else []
        result = {
            "execution_id": turn.execution_id,
            "conversation_id": turn.conversation_id,
            "agent": turn.agent,
            "artifacts": files,
            "scripted": bool(turn.reply and turn.reply.metadata.get("scripted")),
        }
        return [*told, self._of_run("RUN_FINISHED", outcome={"type": "success"}, result=result, usage=self._usage)]

    def _failed(self, error: ErrorReport) -> list[Event]:
        if error.code in CANCELLED:
            return [*self._closed("cancelled"), self._of_run("RUN_FINISHED", outcome={"type": "cancelled"})]
        return [*self._closed("failed"), {**run_error(error), "usage": self._usage}]

    def _closed(self, status: str) -> list[Event]:
        """Ends what is open, and says how the turn stands."""
        told = self._end_speech()
        told += [_step_finished(name) for name in reversed(self.steps.values())]
        self.steps.clear()
        change = {"op": "replace", "path": "/caxton/status", "value": status}
        return [*told, {"type": "STATE_DELTA", "delta": [change]}]

    @property
    def _usage(self) -> list[dict[str, int]]:
        used = self.turn.usage
        return [{"inputTokens": used.input_tokens, "outputTokens": used.output_tokens, "totalTokens": used.tokens}]

    # --- pieces ------------------------------------------------------------------------------------------------------

    def _of_run(self, kind: str, **more: Any) -> Event:
        return {"type": kind, "threadId": self.thread, "runId": self.run, **more}

    def _message_id(self, text_id: str) -> str:
        return f"{self.turn.execution_id}.{text_id}"

    def _begin_speech(self, identity: str) -> list[Event]:
        ended = self._end_speech()
        self.speech = Speech(identity)
        return [*ended, {"type": "TEXT_MESSAGE_START", "messageId": identity, "role": "assistant"}]

    def _say(self, text: str, end: int) -> Event:
        assert self.speech is not None
        self.speech.say(text, end)
        return {"type": "TEXT_MESSAGE_CONTENT", "messageId": self.speech.id, "delta": text}

    def _end_speech(self) -> list[Event]:
        if self.speech is None:
            return []
        ended, self.speech = self.speech, None
        return [{"type": "TEXT_MESSAGE_END", "messageId": ended.id}]

    def _name(self, agent: str) -> str:
        """The name of a step: the agent's, with a number where it is at work already."""
        taken, name, number = set(self.steps.values()), agent, 1
        while name in taken:
            number += 1
            name = f"{agent} {number}"
        return name


def run_error(error: ErrorReport) -> Event:
    """What ends a run that failed."""
    hints = "; ".join(hint.text for hint in error.hints)
    message = f"{error.message}. {hints}" if hints else error.message
    return {"type": "RUN_ERROR", "message": message, "code": error.code}


def _step_started(name: str) -> Event:
    return {"type": "STEP_STARTED", "stepName": name}


def _step_finished(name: str) -> Event:
    return {"type": "STEP_FINISHED", "stepName": name}


def _result(called: str, content: str) -> Event:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"{called}.result",
        "toolCallId": called,
        "content": content,
        "role": "tool",
    }


def _execution(entry: str) -> str:
    """The execution that a step's id begins with."""
    return entry.partition(".")[0]


def _end_of(identity: str) -> int:
    """The position in a text at which a piece of it ends, from the id of its event."""
    return int(identity.partition("+")[2].partition(".")[0])


def _place(entry: str) -> tuple[int, int]:
    """Step and call of a step's id."""
    _, step, call = entry.split(".")[:3]
    return int(step), int(call)
