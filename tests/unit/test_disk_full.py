"""A full disk is told, and nothing that was written is lost."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from caxton.adapters.store.database import Database
from caxton.domain.conversations import Conversation, ConversationState
from caxton.domain.errors import DiskFull
from caxton.domain.ids import ConversationId, Scope
from tests.support.stores import new_sqlite_store


def conversation(number: int, topic: str = "") -> Conversation:
    moment = datetime.now(UTC)
    return Conversation(
        id=ConversationId(f"c_{number}"),
        state=ConversationState.INITIATED,
        topic=topic,
        started_at=moment,
        last_activity=moment,
    )


def test_a_full_disk_is_told_and_writing_goes_on_when_there_is_room(tmp_path: Path) -> None:
    database = Database(new_sqlite_store(tmp_path / "caxton.db"))
    scope = Scope()
    database.write_now(lambda transaction: transaction.add_conversation(scope, conversation(1), one_shot=False))
    database.engine.dispose()
    full = True

    def limit(connection: object, _record: object, _proxy: object) -> None:
        # SQLite's own limit on its size fails with the very error of a full disk (SQLITE_FULL).
        connection.execute(f"PRAGMA max_page_count = {1 if full else 1_000_000}")  # type: ignore[attr-defined]

    event.listen(database.engine, "checkout", limit)
    with pytest.raises(DiskFull, match="disk that holds the database is full") as caught:
        database.write_now(
            lambda transaction: transaction.add_conversation(scope, conversation(2, "x" * 500_000), one_shot=False)
        )
    assert caught.value.retryable
    full = False
    database.write_now(lambda transaction: transaction.add_conversation(scope, conversation(3), one_shot=False))
    found = database.read_now(
        lambda transaction: transaction.conversations(scope, active=None, agent=None, before=None, limit=10)
    )
    assert {each.id for each in found} == {"c_1", "c_3"}
    database.close()
