"""A step that makes no sense for its kind does not parse, wherever it comes from."""

from typing import Any

import pytest
from pydantic import ValidationError

from caxton.domain.executions import StepInput, StepKind

PLAN: dict[str, Any] = {
    "execution_id": "x_1",
    "conversation_id": "c_1",
    "agent": "a",
    "agent_version": "1.0.0",
    "agent_digest": "0" * 64,
    "fast": True,
    "max_steps": 1,
    "max_depth": 1,
    "max_loops": 1,
    "max_tokens": 1,
    "max_time": 1,
    "model_timeout": 1,
}
ENDING = {"code": "execution_cancelled"}


def step(kind: StepKind, **more: Any) -> dict[str, Any]:
    place = {"scope": {"customer": "acme", "workspace": "here"}, "execution_id": "x_1", "root_id": "x_1"}
    return {"kind": kind, **place, **more}


@pytest.mark.parametrize(
    "given",
    [
        step(StepKind.OPEN),
        step(StepKind.MODEL, step=1, plan=PLAN, time_left=3.0),
        step(StepKind.TOOL, step=1, call=1, plan=PLAN, refused=True),
        step(StepKind.CLOSE, ending=ENDING),
        step(StepKind.CLOSE, ending=ENDING, plan=PLAN),
        step(StepKind.APPROVAL, step=1, plan=PLAN),
        step(StepKind.REPLY, step=1, plan=PLAN),
    ],
    ids=str,
)
def test_what_makes_sense_is_read(given: dict[str, Any]) -> None:
    assert StepInput.model_validate_json(StepInput.model_validate(given).model_dump_json()).kind == given["kind"]


@pytest.mark.parametrize(
    "given",
    [
        step(StepKind.MODEL, step=1),
        step(StepKind.MODEL, plan=PLAN),
        step(StepKind.TOOL, step=1, plan=PLAN, time_left=1.0),
        step(StepKind.TOOL, step=1, plan=PLAN, ending=ENDING),
        step(StepKind.CLOSE, plan=PLAN),
        step(StepKind.DECISION, step=1, plan=PLAN),
        step(StepKind.OPEN, refused=True),
    ],
    ids=str,
)
def test_what_makes_none_is_not(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a step of the kind"):
        StepInput.model_validate(given)
