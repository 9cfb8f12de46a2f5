"""Alerts: operators are told over the channels that the server's settings name, by notices that are tried until they arrive.

An alert is a row with a due time in the transaction of what it tells of, so it is not lost and not told without cause.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from caxton.domain.ids import ExecutionId, Scope, derived_id
from caxton.domain.records import Deadline, Transaction
from caxton.recording import journal

KIND = "alert"


def alert(
    transaction: Transaction, scope: Scope, cause: str, name: str, channels: Sequence[str], facts: Mapping[str, Any]
) -> None:
    """Has all `channels` told that `cause` befell the agent or tool `name`, with `facts`."""
    now = journal.now()
    identity = ExecutionId(derived_id("al", cause, scope.customer, scope.workspace, name, now.isoformat()))
    transaction.add_deadlines(
        scope,
        [
            Deadline(
                scope,
                identity,
                KIND,
                number,
                now,
                {"cause": cause, "channel": channel, "about": name, "facts": dict(facts)},
            )
            for number, channel in enumerate(channels)
        ],
    )
