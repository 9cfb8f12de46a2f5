"""Taking over what an older version accepted and had not answered.

Version 0.1.0 kept requests that waited in workflows, of the types "Inbox" and "Conversation". What those have begun is in the
store, whose migration made turns in progress of it. The rest is read here from their histories, and the old workflows end.
"""

import logging
from collections.abc import AsyncIterator, Iterable

from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from caxton.domain.conversations import ENDED
from caxton.domain.executions import TurnRequest
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import Records, Transaction
from caxton.recording import journal
from caxton.service.delivery import ConversationRef, Delivery
from caxton.service.engine import Engine

log = logging.getLogger(__name__)

OLD_TYPES = ("Inbox", "Conversation")
"""Types of the workflows that held requests."""

REASON = "replaced by the workflows of a newer version of Caxton"


class _Start(BaseModel):
    """The input of an old conversation."""

    scope: Scope
    conversation_id: ConversationId
    one_shot: bool = False
    queue: list[TurnRequest] = []


class _Batch(BaseModel):
    requests: list[TurnRequest]


class _HandedOver(BaseModel):
    request: TurnRequest


async def deliver(records: Records, delivery: Delivery, *, restarted: bool) -> None:
    """Takes over the work of an older version, and delivers from then on, until it is cancelled."""
    try:
        await take_over(records, delivery.engine, delivery)
    except Exception as error:  # the next start does it; what this version accepted does not wait for that
        log.error("work of an older version could not be taken over", extra={"error": type(error).__name__})
    await delivery.run(restarted=restarted)


async def take_over(records: Records, engine: Engine, delivery: Delivery) -> int:
    """Makes everything that old workflows have in progress turns in progress, and ends them. Returns how many turns there were.

    It may be stopped at any moment and begun again; several may do it at the same time.
    """
    taken = 0
    async for workflow in _old_workflows(engine.client):
        handle = engine.client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        history = await handle.fetch_history()
        requests = list(_requests(engine.client, history))
        taken += await records.write(lambda transaction, requests=requests: _adopt(transaction, requests))
        try:
            await handle.terminate(reason=REASON)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # else somebody else has
                raise
        for ref in await _references(records, engine.client, history):
            await delivery.start(ref)
    if taken:
        log.info("%d turns were taken over from workflows of an older version", taken)
    return taken


async def _old_workflows(client: Client) -> AsyncIterator[WorkflowExecution]:
    types = " OR ".join(f"WorkflowType = '{name}'" for name in OLD_TYPES)
    async for found in client.list_workflows(f"({types}) AND ExecutionStatus = 'Running'"):
        yield found


def _adopt(transaction: Transaction, requests: list[TurnRequest]) -> int:
    """Requests that had not begun: they have no execution. Those of conversations that have ended were refused."""
    adopted = 0
    for request in requests:
        scope, key = request.scope, request.execution_id
        conversation = transaction.conversation(scope, request.conversation_id)
        if conversation is not None and conversation.state in ENDED:
            continue
        if transaction.executions(scope, [key]) or transaction.turns_in_hand(scope, [key]):
            continue
        transaction.add_turn(scope, request, begun=False, due_at=journal.now())
        transaction.flush()
        adopted += 1
    return adopted


def _requests(client: Client, history: WorkflowHistory) -> Iterable[TurnRequest]:
    """All requests that a history holds, each once, in the order in which they came."""
    seen: set[ExecutionId] = set()
    for event in history.events:
        started, signaled = (
            event.workflow_execution_started_event_attributes,
            event.workflow_execution_signaled_event_attributes,
        )
        updated = event.workflow_execution_update_accepted_event_attributes
        found: list[TurnRequest] = []
        for payload in (
            *started.input.payloads,
            *signaled.input.payloads,
            *updated.accepted_request.input.args.payloads,
        ):
            found += _in_payload(client, payload)
        for request in found:
            if request.execution_id not in seen:
                seen.add(request.execution_id)
                yield request


def _in_payload(client: Client, payload: Payload) -> list[TurnRequest]:
    for kind in (_Batch, _HandedOver, _Start, TurnRequest):
        try:
            [found] = client.data_converter.payload_converter.from_payloads([payload], [kind])
        except (ValidationError, RuntimeError, ValueError, TypeError):
            continue
        if isinstance(found, _Batch):
            return found.requests
        if isinstance(found, _HandedOver):
            return [found.request]
        return found.queue if isinstance(found, _Start) else [found]
    return []


async def _references(records: Records, client: Client, history: WorkflowHistory) -> list[ConversationRef]:
    """The conversation that an old workflow was: the new one sees to its turns, and to its end when nobody writes for a while."""
    first = history.events[0].workflow_execution_started_event_attributes
    try:
        [found] = client.data_converter.payload_converter.from_payloads(first.input.payloads, [_Start])
    except (ValidationError, RuntimeError, ValueError, TypeError):
        return []  # an inbox
    if not isinstance(found, _Start) or found.one_shot:
        return []
    conversation = await records.read(lambda transaction: transaction.conversation(found.scope, found.conversation_id))
    if conversation is None or conversation.state in ENDED:
        return []
    return [ConversationRef.of_conversation(found.scope, conversation)]
