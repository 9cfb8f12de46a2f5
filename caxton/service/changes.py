"""Changes that happen outside of the store's transactions: in the workflow engine, in a sandbox, in files.

They are told in the log before they are asked for. Where that is not possible, they are not asked for: no change without
its event.
"""

from caxton.domain.events.system import ChangeRequested
from caxton.domain.ids import new_id
from caxton.domain.records import Records
from caxton.recording.journal import note
from caxton.service.context import Caller


async def request_change(
    records: Records,
    caller: Caller,
    operation: str,
    subject: str,
    *,
    before: str | None = None,
    after: str | None = None,
) -> None:
    """Tells that `caller` asks for a change.

    Args:
        records: the store.
        caller: who.
        operation: what, such as "agent.stop".
        subject: the name or id of what is changed.
        before: its state now, where it has one.
        after: what it is to become, where that is known.

    Raises:
        StoreUnavailable: it cannot be told, so the change must not be asked for.
        DiskFull: the same.
    """
    told = ChangeRequested(operation=operation, subject=subject[:200], before=before, after=after)
    event = note(caller.scope, told, new_id("change"), actor=caller.actor)
    await records.write(lambda transaction: transaction.add_events(caller.scope, [event]))
