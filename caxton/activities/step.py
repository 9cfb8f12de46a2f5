"""What every kind of step shares: read, act, record.

`load` reads in the batch's one read transaction, `act` does the work outside of any transaction, `record` writes in the
batch's one write transaction. A step that finds itself recorded returns what is recorded.
"""

from dataclasses import dataclass, field
from typing import Protocol

from caxton.activities.memories import Memories
from caxton.activities.short_calls import WALL_TIME, ShortCalls
from caxton.domain.executions import StepInput, StepResult
from caxton.domain.ports import BlobStore, DeltaStream, ModelGateway, TemplateEngine, ToolSandbox
from caxton.domain.records import Records, Transaction
from caxton.routing.directory import Directory


@dataclass(frozen=True)
class StepPorts:
    """The world, as steps see it."""

    records: Records
    blobs: BlobStore
    sandbox: ToolSandbox
    models: ModelGateway
    templates: TemplateEngine
    stream: DeltaStream
    directory: Directory
    memories: Memories | None = None
    """None where the server has no memory."""
    only_opens: bool = False
    """Whether this process does first steps only, and leaves to the worker what needs memory or a tool that takes long."""
    short_calls: ShortCalls = field(default_factory=ShortCalls)
    """Knows which tools an opening waits for."""
    batch_calls: ShortCalls = field(default_factory=lambda: ShortCalls(patience=WALL_TIME))
    """Knows which tools a batch waits for that holds its workflow up meanwhile."""


class Step(Protocol):
    """One step of one execution."""

    input: StepInput

    def load(self, transaction: Transaction) -> StepResult | None:
        """Reads what the step needs. A result means that there is nothing left to do.

        Raises:
            CaxtonError: the step cannot be done.
        """
        ...

    async def act(self) -> None:
        """Does the work.

        Raises:
            CaxtonError: the work failed.
        """
        ...

    def record(self, transaction: Transaction) -> StepResult:
        """Writes what came of it; may run more than once, so it has no other effects."""
        ...

    def after(self, result: StepResult, /) -> None:
        """Tells metrics and listeners, once the step is committed."""
        ...
