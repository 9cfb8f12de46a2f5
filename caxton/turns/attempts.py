"""Calls of models that brought nothing, as they are recorded: they are paid for all the same."""

from collections.abc import Sequence

from caxton.domain.agent_modules import FUNCTION
from caxton.domain.costly_work import STOPPED
from caxton.domain.errors import CaxtonError, ErrorReport
from caxton.domain.events import SYSTEM
from caxton.domain.events.executions import ModelAttemptFailed
from caxton.domain.executions import Plan, StepInput
from caxton.domain.ports import FailedAttempt
from caxton.domain.records import StepRecord, Transaction
from caxton.governance.budgets import Spending, model_use
from caxton.recording import journal
from caxton.turns.tool_rights import refusals_told

ATTEMPT = "attempt"
"""Kind of the records of model calls that brought nothing. Their `call` counts downwards: -1 is a step's first attempt."""


class GivenUp(CaxtonError):
    """Carries an error that another attempt might fix, where there is to be none."""

    code = "given_up"

    def __init__(self, error: CaxtonError) -> None:
        """Wrap `error`."""
        super().__init__(error.message, *error.hints, details=error.details)
        self._report = error.report()

    def report(self) -> ErrorReport:
        """The wrapped error's report."""
        return self._report.model_copy(update={"retryable": False, "retry_after": None})


def record_attempts(
    transaction: Transaction,
    notes: journal.Journal,
    step: StepInput,
    plan: Plan,
    failed: Sequence[FailedAttempt],
    spending: Spending | None,
) -> None:
    """Records `failed` with their events, behind those of the step that are recorded already, and charges what they used."""
    if not failed:
        return
    known = transaction.steps_from(step.scope, step.execution_id, step.step, step.step)
    first = 1 + sum(each.kind == ATTEMPT for each in known)
    for number, attempt in enumerate(failed, start=first):
        used = attempt.usage
        transaction.add_step(
            step.scope,
            StepRecord(
                execution_id=step.execution_id,
                step=step.step,
                call=-number,
                kind=ATTEMPT,
                ok=False,
                agent=plan.agent,
                error_code=attempt.code,
                duration_ms=attempt.seconds * 1000,
                payload={
                    "model": attempt.model,
                    "usage": used and used.model_dump(exclude_none=True),
                    **({"log": list(attempt.log)} if attempt.log else {}),
                },
            ),
        )
        told = ModelAttemptFailed(
            model=attempt.model,
            step=step.step,
            attempt=number,
            reason=attempt.code,
            input_tokens=used and used.input_tokens,
            output_tokens=used and used.output_tokens,
            cost_usd=used and used.cost_usd,
        )
        part = f"attempt {number}"
        notes.add(told, part=part, error_code=attempt.code, latency_ms=attempt.seconds * 1000)
        if attempt.refused:
            notes.add(refusals_told(plan.agent, FUNCTION, attempt.refused), part=part, error_code=attempt.code)
        if spending is not None and used is not None:
            for spent in spending.add(transaction, model_use(used)):
                notes.add(spent, part=f"{part} {spent.subject} {spent.resource} {spent.period}", actor=SYSTEM)


def stopped_attempt(step: StepInput, plan: Plan, model: str, error: CaxtonError) -> StepRecord:
    """The record of a call that was stopped because it takes too long, so that nobody does it again."""
    return StepRecord(
        execution_id=step.execution_id,
        step=step.step,
        call=-1,
        kind=ATTEMPT,
        ok=False,
        agent=plan.agent,
        error_code=error.code,
        payload={"model": model, "usage": None, STOPPED: error.report().model_dump(mode="json")},
    )
