"""What is left of deleted conversations over both stores: nothing but events."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from caxton.adapters.store.database import Database
from caxton.adapters.store.schema import content_uses, metadata
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.executions import ExecutionState
from caxton.domain.ids import ConversationId, Digest, ExecutionId
from caxton.domain.messages import Content
from caxton.domain.records import Deadline, StepRecord
from caxton.domain.tools import Artifact
from tests.conformance.test_records import BEGIN, HERE, conversation, execution, message

CHART, LONG, UPLOADED, NAMED, DRAFT = (Digest(letter * 64) for letter in "abcde")
LATER = BEGIN + timedelta(days=1)


def rows(database: Database, table: str) -> int:
    query = select(func.count()).select_from(metadata.tables[table])
    return database.read_now(lambda transaction: transaction.connection.execute(query).scalar_one())


def remove(database: Database, *ids: str, limit: int = 100) -> Any:
    wanted = [ConversationId(each) for each in ids]
    return database.write_now(lambda transaction: transaction.remove_of_conversations(HERE, wanted, LATER, limit))


def record(transaction: SqlTransaction) -> None:
    """Two conversations of two turns each, which share a chart; a third execution was begun later."""
    transaction.add_contents(HERE, [UPLOADED])
    for number in range(1, 5):
        of = ConversationId(f"c_{(number + 1) // 2}")
        if number % 2:
            transaction.add_conversation(HERE, conversation((number + 1) // 2), one_shot=False)
        transaction.add_execution(HERE, execution(number, ExecutionState.COMPLETED, conversation_id=of))
        chart = Artifact(name="c.svg", media_type="image/svg+xml", size=1, digest=CHART)
        step = StepRecord(ExecutionId(f"x_{number}"), 0, 1, "tool", ok=True, payload={"artifacts": [chart]})
        transaction.add_step(HERE, step)
        named: dict[str, Any] = {"arguments": {"digest": NAMED}, "artifacts": []}
        transaction.add_step(HERE, StepRecord(ExecutionId(f"x_{number}"), 0, 2, "tool", ok=True, payload=named))
        transaction.add_step(
            HERE,
            StepRecord(
                ExecutionId(f"x_{number}"),
                1,
                0,
                "model",
                ok=True,
                payload={"text": "\0", "draft": {"content": {"digest": DRAFT}}},
            ),
        )
        long = Content(digest=LONG, size=100_000) if number == 1 else Content(text="short", size=5)
        said = message(number, of, artifacts=[chart]).model_copy(update={"content": long})
        transaction.add_message(HERE, said)
        remembered = Deadline(HERE, ExecutionId(f"x_{number}"), "memory", 0, BEGIN, {})
        transaction.add_deadlines(HERE, [remembered])


@pytest.mark.requirement("EVT-9")
def test_all_of_one_conversation_goes_and_nothing_of_another(database: Database) -> None:
    database.write_now(record)
    removed = remove(database, "c_1")
    assert (removed.messages, removed.executions, removed.steps) == (2, 2, 6)
    assert removed.digests == {CHART, LONG, DRAFT}
    assert removed.remembering
    assert not removed.more
    assert [rows(database, table) for table in ("messages", "executions", "steps", "deadlines")] == [2, 2, 6, 2]
    unused = database.read_now(lambda transaction: transaction.unused_contents("acme", [CHART, LONG, UPLOADED]))
    assert unused == [LONG], "the chart is of another conversation, too, and the third was uploaded"
    remove(database, "c_2")
    assert database.read_now(lambda transaction: transaction.unused_contents("acme", [CHART])) == [CHART]
    assert rows(database, "content_uses") == 0


@pytest.mark.requirement("EVT-9")
def test_a_long_conversation_goes_in_batches(database: Database) -> None:
    database.write_now(record)
    assert remove(database, "c_1", "c_2", limit=3).more
    assert rows(database, "executions") == 1
    assert not remove(database, "c_1", "c_2", limit=3).more
    assert [rows(database, table) for table in ("messages", "executions", "steps", "deadlines")] == [0, 0, 0, 0]


def test_contents_are_entered_once_for_each_message_and_step(database: Database) -> None:
    database.write_now(record)
    query = select(content_uses.c.digest)
    found = database.read_now(lambda transaction: Counter(transaction.connection.execute(query).scalars()))
    assert found == {CHART: 8, LONG: 1, DRAFT: 4}
    assert not database.read_now(lambda transaction: transaction.has_content(HERE, DRAFT))
    assert database.read_now(lambda transaction: transaction.has_content(HERE, CHART))
