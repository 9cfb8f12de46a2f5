"""The time that a turn has worked: that of the workflow, without the time that it waited for people."""

from temporalio import workflow


class TurnClock:
    """Stands still while anything of the turn waits for a person."""

    def __init__(self) -> None:
        """Start running."""
        self._pauses = 0
        self._paused_at = 0.0
        self._waited = 0.0

    def time(self) -> float:
        """Seconds; only differences mean anything."""
        return (self._paused_at if self._pauses else workflow.time()) - self._waited

    def pause(self) -> None:
        """Something begins to wait."""
        if self._pauses == 0:
            self._paused_at = workflow.time()
        self._pauses += 1

    def leave_out(self, seconds: float) -> None:
        """Does not count so many seconds that have passed."""
        self._waited += seconds

    def resume(self) -> None:
        """Something has waited long enough."""
        self._pauses -= 1
        if self._pauses == 0:
            self._waited += workflow.time() - self._paused_at
