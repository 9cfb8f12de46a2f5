"""The contents of a turn."""

from datetime import datetime
from typing import Any, Literal

from caxton.domain.ids import ExecutionId
from caxton.domain.messages import Content
from caxton.domain.tools import Artifact
from caxton.views.view import View


class ModelCall(View):
    """A call that a model asked for."""

    name: str
    arguments: Any = None


class SaidInTurn(View):
    """A message, an answer of a model, or a result of a tool."""

    kind: Literal["message", "model", "tool"] | str
    at: datetime
    execution_id: ExecutionId
    depth: int = 0
    step: int | None = None
    """Of a model's answer or a tool's result: the step of its execution."""
    sender: str = ""
    receiver: str | None = None
    name: str | None = None
    """Of a tool: "csv-tools.read_csv"; of a model, which one."""
    content: Content | None = None
    """Of a message: its text, or where a long one is."""
    text: str | None = None
    artifacts: list[Artifact] = []
    """Files that go with a message, or that a tool made."""
    calls: list[ModelCall] = []
    is_error: bool = False
    taken_over: bool = False
    """Whether it was recorded by another execution, of which this one is a fork."""
