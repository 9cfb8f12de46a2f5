"""Sends alerts on their way: each is a notice, in a workflow of its own."""

from datetime import datetime

from caxton.domain.records import Deadline
from caxton.service.engine import Engine
from caxton.service.notices import start_notice
from caxton.workflows.notice import Notice


class Alerts:
    """Deals with alerts that are due."""

    def __init__(self, engine: Engine) -> None:
        """Start notices in `engine`."""
        self.engine = engine

    async def send(self, deadline: Deadline) -> datetime | None:
        """Starts the notice, once after any crash. There is nothing left to do for the deadline."""
        details = deadline.details
        notice = Notice(
            scope=deadline.scope,
            execution_id=deadline.execution_id,
            cause=details["cause"],
            level=deadline.level,
            channel=details["channel"],
            about=details["about"],
            facts=details["facts"],
        )
        await start_notice(self.engine, notice)
        return None
