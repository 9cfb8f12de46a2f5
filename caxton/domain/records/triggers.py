"""The records port: triggers."""

from typing import Protocol

from caxton.domain.ids import Scope
from caxton.domain.triggers import DeployedTrigger


class TriggerRecords(Protocol):
    """Triggers."""

    def triggers(self, scope: Scope, agent: str | None = None) -> list[DeployedTrigger]: ...
    def trigger(self, scope: Scope, agent: str, name: str) -> DeployedTrigger | None: ...
    def put_trigger(self, trigger: DeployedTrigger) -> None: ...
    def trigger_of_hook(self, hook_id: str) -> DeployedTrigger | None: ...
