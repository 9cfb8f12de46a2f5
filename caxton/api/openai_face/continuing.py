"""Going on with an answer that asked for functions of its caller, once the caller brings the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caxton.api.openai_face.bodies import wrong
from caxton.api.openai_face.exchange import Asked
from caxton.api.services import Services
from caxton.domain.caller_context import (
    CALLS,
    KEY,
    CallerContext,
    Continued,
    Said,
    SaidCall,
    SaidResult,
    check_answered,
    step_asking,
)
from caxton.domain.executions import TurnView
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.messages import Message
from caxton.domain.records import Transaction
from caxton.domain.tools import Artifact
from caxton.recording.contents import unpack


@dataclass(frozen=True, slots=True)
class Source:
    """A turn that ended with calls."""

    execution_id: ExecutionId
    request: Message
    calls: list[dict[str, Any]]

    @property
    def context(self) -> CallerContext:
        """What its caller brought along."""
        return CallerContext.model_validate(self.request.metadata.get(KEY, {}))


@dataclass(frozen=True, slots=True)
class Ready:
    """A request that nothing is missing of any more."""

    content: str
    context: CallerContext
    files: Sequence[Artifact] = ()
    """Files of the request that is gone on with."""


def calls_of(turn: TurnView) -> list[dict[str, Any]]:
    """The calls that an answer asks its caller for."""
    return list(turn.reply.metadata.get(CALLS, ())) if turn.reply is not None else []


async def go_on(services: Services, scope: Scope, asked: Asked, before: TurnView | None, param: str) -> Ready:
    """The request, as the one that it goes on with where it brings the results of calls.

    Args:
        services: the use cases.
        scope: whose it is.
        asked: what was asked.
        before: the turn before it, where the server keeps the exchange.
        param: the field that the results were in.

    Raises:
        InvalidInput: a result is missing, or of no call.
    """
    context = asked.context
    if asked.content is not None and context.history and context.history[0].role == "results":
        # A further message behind the results: all of it is what was said before that message.
        results = context.history[0].results
        asking = _asking(results)
        behind = before.execution_id if before is not None else asking[0] if asking is not None else None
        source = await _source(services, scope, behind) if behind is not None else None
        if source is None:
            raise _no_call(results, param)
        check_answered(source.calls, results)
        calls = [SaidCall.model_validate(call) for call in source.calls]
        history = [Said(role="assistant", calls=calls), *context.history]
        return Ready(asked.content, context.model_copy(update={"history": history}))
    if not asked.results:
        return Ready(asked.content or "", context)
    found = _asking(asked.results)
    source = await _source(services, scope, found[0]) if found is not None else None
    if source is None or found is None:
        if asked.content is None:
            raise _no_call(asked.results, param)
        return Ready(asked.content, context)  # calls of another server: what is said of them is all there is
    check_answered(source.calls, asked.results)
    continued = Continued(execution_id=source.execution_id, step=found[1], results=list(asked.results))
    # What lies between the request and the calls is recorded, but for what no turn here has done.
    context = context.model_copy(update={"continued": continued, "since": source.context.since})
    if asked.content is not None:
        return Ready(asked.content, context)
    context = context.model_copy(update={"places": source.context.places})
    return Ready(await unpack(services.blobs, scope, source.request.content), context, source.request.artifacts)


def _asking(results: Sequence[SaidResult]) -> tuple[ExecutionId, int] | None:
    """The execution and step that asked for the calls of `results`; None if there is not one for all."""
    found = {step_asking(result.id) for result in results}
    return found.pop() if len(found) == 1 else None


async def context_of(services: Services, scope: Scope, execution_id: ExecutionId) -> CallerContext:
    """What the caller brought along with a request; nothing if it is gone."""

    def read(transaction: Transaction) -> CallerContext:
        record = transaction.executions(scope, [execution_id]).get(execution_id)
        message = None if record is None else transaction.message(scope, record.execution.message_id)
        return CallerContext.model_validate(message.metadata.get(KEY, {}) if message else {})

    return await services.turns.records.read(read)


async def _source(services: Services, scope: Scope, execution_id: ExecutionId) -> Source | None:
    """The turn, if it ended with calls of its caller's functions, and all of it is there."""

    def read(transaction: Transaction) -> Source | None:
        record = transaction.executions(scope, [execution_id]).get(execution_id)
        reply = transaction.message(scope, record.reply_id) if record is not None and record.reply_id else None
        if record is None or reply is None or CALLS not in reply.metadata:
            return None
        request = transaction.message(scope, record.execution.message_id)
        last = transaction.last_model_step(scope, execution_id)
        if request is None or last is None:
            return None
        return Source(execution_id, request, list(reply.metadata[CALLS]))

    return await services.turns.records.read(read)


def _no_call(results: Sequence[SaidResult], param: str) -> Exception:
    named = results[0].id[:100] if results else "?"
    return wrong(f'the answer before asked for no call "{named}"', param)
