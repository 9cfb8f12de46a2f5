"""One call of a module, on a sandbox thread: what it answered, or which limit, trap or bad answer ended it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from caxton.adapters.sandbox import limits
from caxton.adapters.sandbox.classify import error_of, mentions_memory
from caxton.adapters.sandbox.components import AgentProgram
from caxton.adapters.sandbox.granting import not_granted
from caxton.adapters.sandbox.host import Run
from caxton.adapters.sandbox.instances import Stopped
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.sandbox.program import CommandFailed, Program, Reply, TooLarge
from caxton.adapters.sandbox.results import Malformed, check_functions, parse_call_result
from caxton.domain.agent_modules import Handled, ModuleAnswer
from caxton.domain.errors import (
    CAUSE,
    AgentAnswerInvalid,
    AgentFuelExhausted,
    AgentMemoryExceeded,
    AgentMessageTooLarge,
    AgentModuleError,
    AgentNotGranted,
    AgentTimeout,
    AgentTrapped,
    Hint,
    ToolAnswerInvalid,
    ToolError,
    ToolFuelExhausted,
    ToolMemoryExceeded,
    ToolMessageTooLarge,
    ToolNotGranted,
    ToolTimeout,
    ToolTrapped,
)
from caxton.domain.tools import ToolFunction, ToolResult
from caxton.domain.usage import ToolUsage

T = TypeVar("T")

_OF_AGENTS: dict[type[ToolError], type[AgentModuleError]] = {
    ToolMemoryExceeded: AgentMemoryExceeded,
    ToolFuelExhausted: AgentFuelExhausted,
    ToolTimeout: AgentTimeout,
    ToolMessageTooLarge: AgentMessageTooLarge,
    ToolTrapped: AgentTrapped,
    ToolAnswerInvalid: AgentAnswerInvalid,
    ToolNotGranted: AgentNotGranted,
}


def describe(program: Program, run: Run, subject: Subject) -> Sequence[ToolFunction]:
    """What a tool server offers."""
    try:
        found = program.describe(run)
        check_functions(found)
        return [ToolFunction.model_validate(function) for function in found]
    except Stopped as stopped:
        raise error_of(subject, stopped.stop, memory_was_denied=False) from None
    except TooLarge as error:
        raise limits.message_too_large(subject, "result", error.size) from None
    except (CommandFailed, Malformed) as error:
        raise limits.answer_invalid(subject, str(error)) from None
    except ValidationError as error:
        raise limits.answer_invalid(subject, error.errors()[0]["msg"]) from None


def call(program: Program, run: Run, subject: Subject, function: ToolFunction, arguments: str) -> ToolResult:
    """Calls a function of a tool, with arguments as JSON."""

    def proven() -> bool:
        return program.was_denied_memory(run, function.name, arguments)

    def work() -> ToolResult:
        def read(reply: Reply) -> ToolResult:
            content, structured, is_error = parse_call_result(reply.value) if reply.ok else _failure(reply.value)
            return ToolResult(content=content, structured=structured, is_error=is_error)

        result = _answer(run, subject, lambda: read(program.call(run, function.name, arguments)), proven)
        # A tool may catch that memory ended and say so. Believed only with proof: it may be quoting somebody else.
        if result.is_error and mentions_memory(result.text()) and proven():
            raise limits.memory_exceeded(subject, reason="the tool reported it")
        if result.is_error and (lacking := _lacking(subject, run)):
            raise lacking
        return result

    result, usage = _measured(run, subject, work)
    return result.model_copy(update={"usage": usage, "log": run.log.lines, "refused": run.refused})


def handle(program: AgentProgram, run: Run, subject: Subject, message: str) -> Handled:
    """Has an agent do a step, which gets `message` as JSON."""

    def work() -> Handled:
        def read(reply: Reply) -> Handled:
            return Handled(_module_answer(reply.value)) if reply.ok else Handled(None, reply.value)

        handled = _answer(
            run, subject, lambda: read(program.handle(run, message)), lambda: program.was_denied_memory(run, message)
        )
        if handled.answer is None and (lacking := _lacking(subject, run)):
            raise lacking
        return handled

    handled, usage = _measured(run, subject, work)
    assert run.state is not None
    return replace(handled, state=run.state, usage=usage, log=run.log.lines, refused=run.refused)


def agent_error(error: ToolError) -> AgentModuleError:
    """The error of a tool's call, as that of an agent."""
    details = {"trap" if name == CAUSE else name: value for name, value in error.details.items()}
    made = _OF_AGENTS.get(type(error), AgentModuleError)(
        error.message, *error.hints, reason=error.reason, details=details
    )
    if isinstance(error, ToolNotGranted) or error.details.get("message") == "message":
        made.details[CAUSE] = "grants" if isinstance(error, ToolNotGranted) else "input"  # no fault of the agent's
    made.usage, made.log, made.refused = error.usage, error.log, error.refused
    return made


def _measured(run: Run, subject: Subject, work: Callable[[], T]) -> tuple[T, ToolUsage]:
    """What `work` returns, and what it used; an error gets that, too."""
    clock, cpu = time.perf_counter_ns(), time.thread_time_ns()

    def usage() -> ToolUsage:
        return ToolUsage(
            wall_ms=(time.perf_counter_ns() - clock) / 1e6,
            cpu_ms=(time.thread_time_ns() - cpu) / 1e6,
            fuel=run.fuel_used,
            memory=run.peak_memory,
        )

    try:
        return work(), usage()
    except ToolError as error:
        lacking = _lacking(subject, run)
        if lacking is not None and not isinstance(error, ToolNotGranted) and "limit" not in error.details:
            # It crashed, say, after it was refused: perhaps because of that.
            error.hints[:0] = [Hint(text=f"{lacking.message}; grant it", command=lacking.hints[0].command)]
        error.usage, error.log, error.refused = usage(), tuple(run.log.lines), run.refused
        raise


def _answer(run: Run, subject: Subject, ask: Callable[[], T], proven: Callable[[], bool]) -> T:
    """What `ask` returns.

    Args:
        run: the call.
        subject: what is called.
        ask: calls it, and reads its answer.
        proven: whether a call that failed had asked for memory and not got it.

    Raises:
        ToolError: a subclass for each limit, trap and bad answer.
    """

    def ran_out() -> bool:
        return mentions_memory("\n".join(run.log.lines)) or proven()

    try:
        return ask()
    except Stopped as stopped:
        unexplained = stopped.stop.is_trap and not stopped.stop.is_limit()
        raise error_of(subject, stopped.stop, unexplained and ran_out()) from None
    except TooLarge as error:
        raise limits.message_too_large(subject, "result", error.size) from None
    except CommandFailed as error:
        if ran_out():
            raise limits.memory_exceeded(subject, reason=str(error)) from None
        if error.exit_code:
            raise limits.trapped(subject, str(error)) from None
        raise limits.answer_invalid(subject, str(error)) from None
    except Malformed as error:
        raise limits.answer_invalid(subject, str(error)) from None


def _lacking(subject: Subject, run: Run) -> ToolNotGranted | None:
    return not_granted(subject.name, subject.details(), subject.tool, run)


def _module_answer(value: Any) -> ModuleAnswer:
    try:
        return ModuleAnswer.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise Malformed(f"{where}: {told}" if where else told) from None


def _failure(text: str) -> tuple[list[dict[str, Any]], Any, bool]:
    """The result of a call that the tool itself says has failed."""
    return [{"type": "text", "text": text}], None, True
