"""Hours of messages with a retention of an hour, on a clock that is given: does the database stay as large as it is?

`python -m benchmarks.retention --hours 6 --messages 2000` records so many one-shot turns an hour as the server does
(conversation, execution, two messages, step, ten events), moves the clock on by an hour, and applies the periods. Printed for
each hour: rows, the file's size and what of it is free, and at the end whether the log verifies, in the database and with its
segments.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from caxton.adapters.archive import FileArchive
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.domain.conversations import Conversation, ConversationState, EndReason
from caxton.domain.events import Event
from caxton.domain.events.conversations import MessageDelivered
from caxton.domain.events.segments import LogCheck
from caxton.domain.executions import Execution, ExecutionState, Usage
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope, new_id
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.records import Deadline, ExecutionRecord, StepRecord, Transaction
from caxton.domain.retention import Periods
from caxton.recording.journal import note
from caxton.service.archive import LOG, Archive
from caxton.service.context import Caller
from caxton.service.deletion import Deletions
from caxton.service.engine import Engine
from caxton.service.event_log import EventLog
from caxton.service.retention import Retention

HERE = Scope(customer="local", workspace="default")
HOUR = 3600.0
EVENTS = 10
"""Events of one turn."""


@dataclass
class Clock:
    """The time, as somebody says."""

    moment: datetime

    def __call__(self) -> datetime:
        """The present."""
        return self.moment


@dataclass(frozen=True)
class Hour:
    """How the database is after an hour."""

    number: int
    messages: int
    events: int
    bytes: int
    free: int
    seconds: float
    """That applying the periods took."""
    longest: float
    """The longest time that a write by somebody else waited meanwhile."""


@dataclass(frozen=True)
class Outcome:
    """What the simulation brought."""

    hours: Sequence[Hour]
    verified: bool
    archive_verified: bool
    segments: int


def record(transaction: Transaction, at: datetime, count: int) -> None:
    """Records turns that took place from `at` on, in the hour."""
    for number in range(count):
        moment = at + timedelta(seconds=number * HOUR / count)
        conversation, execution = ConversationId(new_id("c")), ExecutionId(new_id("x"))
        asked, reply = MessageId(new_id("m")), MessageId(new_id("m"))
        transaction.add_conversation(
            HERE,
            Conversation(
                id=conversation,
                state=ConversationState.COMPLETED,
                end_reason=EndReason.COMPLETED,
                started_at=moment,
                last_activity=moment,
                ended_at=moment,
                message_count=2,
            ),
            one_shot=True,
        )
        done = Execution(
            id=execution,
            root_id=execution,
            conversation_id=conversation,
            message_id=asked,
            agent="echo",
            capability="echo",
            state=ExecutionState.COMPLETED,
            started_at=moment,
            finished_at=moment,
            usage=Usage(),
        )
        transaction.add_execution(HERE, ExecutionRecord(done, "f", reply, {}))
        transaction.add_step(HERE, StepRecord(execution, 0, 0, "model", ok=True, payload={"text": "hello " * 20}))
        for identity, kind in ((asked, MessageType.REQUEST), (reply, MessageType.RESPONSE)):
            transaction.add_message(
                HERE,
                Message(
                    id=identity,
                    conversation_id=conversation,
                    execution_id=execution,
                    type=kind,
                    sender="user",
                    receiver="echo",
                    content=Content(text="hello " * 20, size=120),
                    created_at=moment,
                ),
            )
        transaction.add_events(HERE, [_event(execution, conversation, moment) for _ in range(EVENTS)])


def _event(execution: ExecutionId, conversation: ConversationId, moment: datetime) -> Event:
    told = MessageDelivered(message_id=new_id("m"), delivered_to="echo", delivery_time_ms=1.0)
    event = note(HERE, told, new_id("e"), agent="echo", conversation_id=conversation, correlation_id=execution)
    return event.model_copy(update={"timestamp": moment})


async def simulate(folder: Path, hours: int, messages: int) -> Outcome:
    """So many hours, of so many messages each."""
    database = Database(sqlite_url(folder / "caxton.db"))
    migrate(database)
    clock = Clock(
        datetime.now(UTC)
    )  # what is noted by the machine's clock then lies in the past, and takes the log's time
    deletions = Deletions(database, cast("Engine", None), FileBlobs(folder / "blobs"), None)
    archive = Archive(database, FileArchive(folder / "archive"), HOUR, [], now=clock)
    retention = Retention(database, deletions, Periods(conversations=HOUR), archive, now=clock)
    found: list[Hour] = []
    try:
        for number in range(hours):
            for part in range(0, messages, 100):
                at = clock.moment + timedelta(seconds=part * HOUR / messages)
                size = min(100, messages - part)
                await database.write(lambda transaction, at=at, size=size: record(transaction, at, size))
            clock.moment += timedelta(seconds=HOUR)
            began = time.monotonic()
            longest = await _beside(database, _apply(database, retention))
            found.append(await _hour(database, number, time.monotonic() - began, longest))
        verified = await EventLog(database).verify(Caller(HERE, "admin", "key", "benchmark"), None)
        check, files = LogCheck(), sorted((folder / "archive" / HERE.customer).glob("*.jsonl"))
        for file in files:
            check.read_segment(file)
        whole = check.chain is not None and check.chain.problem is None
        follows = whole and check.chain is not None and check.chain.last.sequence == verified.detached
        return Outcome(found, verified.ok, follows, len(files))
    finally:
        database.close()


async def _apply(database: Database, retention: Retention) -> None:
    """Applies all periods, and forgets what is left to do elsewhere: there are no workflows here."""
    for name in (LOG, ExecutionId("retention")):
        deadline = Deadline(HERE, name, "retention", 0, datetime.now(UTC), {})
        while True:
            again = await retention.handlers["retention"](deadline)
            if again is None or again > datetime.now(UTC) + timedelta(seconds=5):
                break

    def forget(transaction: Transaction) -> int:
        later = datetime.now(UTC) + timedelta(days=400)
        left = transaction.take_deadlines(later, later, 1000)
        return sum(transaction.remove_deadline(each) for each in left)

    while await database.write(forget):
        pass


async def _beside(database: Database, work: Coroutine[Any, Any, None]) -> float:
    """Does `work`, while somebody else writes every few milliseconds. Returns how long the slowest of those writes took."""
    task = asyncio.create_task(work)
    longest = 0.0
    while not task.done():
        began = time.monotonic()
        await database.write(lambda transaction: transaction.put_events_period("somebody", "forever"))
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.005)
    await task
    return longest


async def _hour(database: Database, number: int, seconds: float, longest: float) -> Hour:
    def read(transaction: Transaction) -> Hour:
        rows, size = transaction.row_counts(HERE), transaction.database_size()
        events = rows["events"] - transaction.detached_to(HERE.customer)
        return Hour(number + 1, rows["messages"], events, size.bytes, size.free or 0, seconds, longest)

    return await database.read(read)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--messages", type=int, default=2000, help="one-shot requests an hour")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(simulate(Path(folder), options.hours, options.messages))
    print("hour  messages    events   MB  of it free   applied in   longest write beside")
    for hour in outcome.hours:
        size, free = hour.bytes / 2**20, hour.free / 2**20
        print(
            f"{hour.number:4}  {hour.messages:8}  {hour.events:8}  {size:4.1f}  {free:9.1f}  "
            f"{hour.seconds:9.2f} s  {hour.longest * 1000:9.0f} ms"
        )
    print(f"verify: {'ok' if outcome.verified else 'BROKEN'}; {outcome.segments} segments: ", end="")
    print("ok, and what is in the database follows them" if outcome.archive_verified else "BROKEN")


if __name__ == "__main__":
    main()
