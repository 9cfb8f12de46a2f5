"""The store keeps the same promises over SQLite and over PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import HEAD, migrate
from caxton.adapters.store.schema import metadata
from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.conversations import Conversation, ConversationState, EndReason
from caxton.domain.deployments import Bundle
from caxton.domain.errors import StoreUnavailable
from caxton.domain.executions import Execution, ExecutionState, Usage
from caxton.domain.ids import ConversationId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.records import ApiKey, ExecutionRecord, HistoryWanted, StepRecord, TurnsSoFar

HERE = Scope(customer="acme", workspace="here")
ELSEWHERE = [
    Scope(customer="acme", workspace="there"),
    Scope(customer="acm", workspace="here"),
    Scope(customer="other", workspace="here"),
]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path / "caxton.db") if on_sqlite else request.getfixturevalue("postgres").new_database()
    database = Database(url)
    migrate(database)
    yield database
    database.close()


def conversation(number: int, **more: Any) -> Conversation:
    moment = BEGIN + timedelta(seconds=number)
    values: dict[str, Any] = {"started_at": moment, "last_activity": moment, "state": ConversationState.INITIATED}
    return Conversation(id=ConversationId(f"c_{number}"), **{**values, **more})


def message(number: int, conversation_id: str = "c_1", text: str = "hello", **more: Any) -> Message:
    return Message(
        id=MessageId(f"m_{number}"),
        conversation_id=ConversationId(conversation_id),
        execution_id=ExecutionId(f"x_{number}"),
        type=MessageType.REQUEST,
        sender=more.pop("sender", "user"),
        receiver=more.pop("receiver", "analyst"),
        content=Content(text=text, size=len(text.encode())),
        created_at=BEGIN + timedelta(seconds=number),
        **more,
    )


def execution(number: int, state: ExecutionState = ExecutionState.RUNNING, **more: Any) -> ExecutionRecord:
    values: dict[str, Any] = {
        "root_id": ExecutionId(f"x_{number}"),
        "conversation_id": ConversationId("c_1"),
        "agent": "analyst",
        "capability": "analyze",
        "started_at": BEGIN + timedelta(seconds=number),
        **more,
    }
    found = Execution(id=ExecutionId(f"x_{number}"), message_id=MessageId(f"m_{number}"), state=state, **values)
    return ExecutionRecord(found, "f" * 64, None, {"name": "Zoë"})


def step(number: int, **more: Any) -> StepRecord:
    values: dict[str, Any] = {"step": 1, "call": 0, "kind": "tool", "ok": True, "payload": {"text": "…"}, **more}
    return StepRecord(execution_id=ExecutionId(f"x_{number}"), **values)


def agent_version(name: str, digest: str) -> AgentVersion:
    spec = AgentSpec.model_validate({"name": name, "version": "1.0.0", "capabilities": [name], "model": "openai:gpt-5"})
    return AgentVersion(spec=spec, digest=Digest(digest))


def test_the_migrations_make_exactly_the_tables_of_the_schema(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    migrate(database)


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match=r'newer version of Caxton \(schema "9999"\)'):
        migrate(database)


@pytest.mark.requirement("AGT-4")
def test_nothing_is_found_from_another_scope(database: Database) -> None:
    def fill(transaction: Any) -> None:
        transaction.add_conversation(HERE, conversation(1), one_shot=False)
        transaction.add_execution(HERE, execution(1, agent_digest=Digest("a" * 64)))
        transaction.add_message(HERE, message(1))
        transaction.add_step(HERE, step(1, tool="chart"))
        bundle = Bundle(kind="agent", name="analyst", files={"analyst.toml": Digest("a" * 64)})
        transaction.put_version(HERE, "agent", bundle, agent_version("analyst", bundle.digest))
        transaction.put_component(
            HERE, "agent", "analyst", digest=bundle.digest, version="1.0.0", state="Running", deployment_id=None
        )
        transaction.add_key("h" * 64, ApiKey("k_1", "acme", "mine", "admin", BEGIN))

    database.write_now(fill)

    def everything(transaction: Any, scope: Scope) -> list[Any]:
        x_1, bundle = ExecutionId("x_1"), Bundle(kind="agent", name="analyst", files={"analyst.toml": Digest("a" * 64)})
        return [
            transaction.conversation(scope, ConversationId("c_1")),
            transaction.conversations(scope, active=None, agent=None, before=None, limit=10),
            transaction.message(scope, MessageId("m_1")),
            transaction.messages(scope, limit=10),
            transaction.histories(scope, [HistoryWanted(ConversationId("c_1"), BEGIN + timedelta(days=1), 10)])[0],
            transaction.conversations_of(scope, [ConversationId("c_1")]),
            transaction.turns_so_far(scope, [ConversationId("c_1")]),
            transaction.first_version(scope, ConversationId("c_1"), "analyst"),
            transaction.executions(scope, [x_1]),
            transaction.executions_of_turn(scope, x_1),
            transaction.work_in_hand(scope),
            dict(transaction.steps(scope, [x_1])),
            transaction.recorded(scope, [x_1]),
            transaction.tool_steps(scope, "chart", 10),
            transaction.tool_statistics(scope),
            transaction.components(scope),
            transaction.component(scope, "agent", "analyst"),
            transaction.agent_versions(scope, [bundle.digest]),
            transaction.bundle(scope, "agent", bundle.digest),
        ]

    assert all(database.read_now(lambda transaction: everything(transaction, HERE)))
    for scope in ELSEWHERE:
        assert not any(database.read_now(lambda transaction, scope=scope: everything(transaction, scope)))

        def meddle(transaction: Any, scope: Scope = scope) -> list[Any]:
            return [
                transaction.end_conversation(scope, ConversationId("c_1"), EndReason.CANCELLED),
                transaction.finish_execution(
                    scope, ExecutionId("x_1"), ExecutionState.FAILED, reply_id=None, error=None, usage=Usage()
                ),
                transaction.set_component_state(scope, "agent", "analyst", "Failed", None),
                scope.customer != "acme" and transaction.revoke_key(scope.customer, "k_1"),
            ]

        assert not any(database.write_now(meddle))
    assert all(database.read_now(lambda transaction: everything(transaction, HERE)))
    assert database.read_now(lambda transaction: [key.id for key in transaction.keys("acme")]) == ["k_1"]
    assert database.read_now(lambda transaction: transaction.keys("other")) == []


@pytest.mark.parametrize(
    "text",
    [
        "naïve",
        "数据 🦉",
        "e\u0301",
        "\u202eright to left",
        "'; DROP TABLE messages; --",
        "%_\\",
        "\t\n\r\x7f",
        "\ufeff",
    ],
)
def test_text_comes_back_as_it_was(database: Database, text: str) -> None:
    def fill(transaction: Any) -> None:
        transaction.add_conversation(HERE, conversation(1, topic=text, metadata={text: text}), one_shot=False)
        transaction.add_message(HERE, message(1, text=text, metadata={"nul": "a\0b", "text": text}))

    database.write_now(fill)
    found = database.read_now(lambda transaction: transaction.message(HERE, MessageId("m_1")))
    assert found is not None
    assert found.content.text == text
    assert found.metadata == {"nul": "a\0b", "text": text}
    talk = database.read_now(lambda transaction: transaction.conversation(HERE, ConversationId("c_1")))
    assert talk is not None
    assert (talk.topic, talk.metadata) == (text, {text: text})


def test_moments_keep_their_microseconds(database: Database) -> None:
    moment = datetime(2026, 11, 21, 3, 4, 5, 678_901, tzinfo=UTC)
    talk = conversation(1, started_at=moment, last_activity=moment)
    database.write_now(lambda transaction: transaction.add_conversation(HERE, talk, one_shot=False))
    found = database.read_now(lambda transaction: transaction.conversation(HERE, talk.id))
    assert found == talk


def test_what_happened_once_stays_as_it_was(database: Database) -> None:
    def begin(transaction: Any) -> None:
        transaction.add_conversation(HERE, conversation(1), one_shot=False)
        transaction.add_execution(HERE, execution(1))

    database.write_now(begin)

    def finish(transaction: Any, state: ExecutionState) -> bool:
        return transaction.finish_execution(
            HERE, ExecutionId("x_1"), state, reply_id=MessageId("m_2"), error=None, usage=Usage(model_calls=1)
        )

    assert database.write_now(lambda transaction: finish(transaction, ExecutionState.COMPLETED))
    assert not database.write_now(lambda transaction: finish(transaction, ExecutionState.FAILED))
    found = database.read_now(lambda transaction: transaction.executions(HERE, [ExecutionId("x_1")]))
    assert found[ExecutionId("x_1")].execution.state is ExecutionState.COMPLETED
    assert found[ExecutionId("x_1")].variables == {"name": "Zoë"}

    def end(reason: EndReason) -> bool:
        return database.write_now(lambda transaction: transaction.end_conversation(HERE, ConversationId("c_1"), reason))

    assert end(EndReason.TIMEOUT)
    assert not end(EndReason.CANCELLED)
    assert not database.write_now(lambda t: t.add_conversation(HERE, conversation(1), one_shot=False))
    talk = database.read_now(lambda transaction: transaction.conversation(HERE, ConversationId("c_1")))
    assert talk is not None
    assert (talk.state, talk.end_reason) == (ConversationState.EXPIRED, EndReason.TIMEOUT)


def test_two_who_record_the_same_step_record_it_once(database: Database) -> None:
    """What a worker does whose attempt was given to another: look, and write only what is not there."""

    def record(worker: int) -> bool:
        def work(transaction: Any) -> bool:
            if transaction.recorded(HERE, [ExecutionId("x_1")]):
                return False
            transaction.add_step(HERE, step(1, agent=f"worker-{worker}"))
            transaction.add_message(HERE, message(1, text=f"of worker {worker}"))
            return True

        return database.write_now(work)

    with ThreadPoolExecutor(8) as workers:
        written = list(workers.map(record, range(8)))
    assert written.count(True) == 1
    steps = database.read_now(lambda transaction: transaction.steps(HERE, [ExecutionId("x_1")]))[ExecutionId("x_1")]
    (told,) = database.read_now(lambda transaction: transaction.messages(HERE, limit=10))
    winner = written.index(True)
    assert [each.agent for each in steps] == [f"worker-{winner}"]
    assert told.content.text == f"of worker {winner}"


def test_counts_and_participants_survive_writers_at_the_same_time(database: Database) -> None:
    database.write_now(lambda transaction: transaction.add_conversation(HERE, conversation(1), one_shot=False))
    database.write_now(lambda transaction: transaction.bump_generation(HERE))

    def touch(number: int) -> None:
        def work(transaction: Any) -> None:
            transaction.touch_conversation(HERE, ConversationId("c_1"), messages=1, participants=())
            transaction.bump_generation(HERE)

        database.write_now(work)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(touch, range(40)))
    talk = database.read_now(lambda transaction: transaction.conversation(HERE, ConversationId("c_1")))
    assert talk is not None
    assert talk.message_count == 40
    assert database.read_now(lambda transaction: transaction.generation(HERE)) == 41


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def work(transaction: Any) -> None:
        transaction.add_conversation(HERE, conversation(1), one_shot=False)
        transaction.add_message(HERE, message(1))
        transaction.flush()
        raise RuntimeError("the worker was killed")

    with pytest.raises(RuntimeError):
        database.write_now(work)
    assert database.read_now(lambda transaction: transaction.messages(HERE, limit=10)) == []
    assert database.read_now(lambda transaction: transaction.conversation(HERE, ConversationId("c_1"))) is None


@pytest.mark.requirement("MSG-6")
def test_lists_are_paged_from_the_newest(database: Database) -> None:
    def fill(transaction: Any) -> None:
        for number in range(1, 26):
            agent = "percent%" if number % 2 else "percent_x"
            state = ConversationState.COMPLETED if number % 5 == 0 else ConversationState.IN_PROGRESS
            transaction.add_conversation(
                HERE, conversation(number, participants=["user", agent], state=state), one_shot=False
            )
            transaction.add_execution(HERE, execution(number, depth=0 if number % 3 else 1))
            transaction.add_message(HERE, message(number, sender=agent))

    database.write_now(fill)

    def page(before: datetime | None, **filters: Any) -> list[str]:
        values: dict[str, Any] = {"active": None, "agent": None, **filters}
        return [
            each.id
            for each in database.read_now(
                lambda transaction: transaction.conversations(HERE, before=before, limit=10, **values)
            )
        ]

    assert page(None) == [f"c_{number}" for number in range(25, 15, -1)]
    assert page(BEGIN + timedelta(seconds=16)) == [f"c_{number}" for number in range(15, 5, -1)]
    assert page(BEGIN + timedelta(seconds=6)) == [f"c_{number}" for number in range(5, 0, -1)]
    assert page(None, active=False) == ["c_25", "c_20", "c_15", "c_10", "c_5"]
    assert len(page(None, active=True)) == 10
    assert page(None, agent="percent_x") == [f"c_{number}" for number in range(24, 5, -2)]
    assert page(None, agent="percent") == []  # whole names, and no wildcards
    of_users = database.read_now(lambda transaction: transaction.messages(HERE, root_only=True, limit=100))
    assert [each.id for each in of_users] == [f"m_{number}" for number in range(1, 26) if number % 3]
    shown = database.read_now(
        lambda t: t.histories(HERE, [HistoryWanted(ConversationId("c_1"), BEGIN + timedelta(seconds=20), 3)])[0]
    )
    assert [each.id for each in shown] == ["m_16", "m_17", "m_19"]


@pytest.mark.requirement("TOL-8")
def test_statistics_are_those_of_the_calls(database: Database) -> None:
    def fill(transaction: Any) -> None:
        for number in range(1, 101):
            ok = number % 10 != 0
            transaction.add_step(
                HERE,
                step(
                    number, tool="chart", ok=ok, duration_ms=float(number), cpu_ms=2.0, memory=number << 20, fuel=2**40
                ),
            )
            finished = BEGIN + timedelta(seconds=number, milliseconds=number)
            state = ExecutionState.COMPLETED if ok else ExecutionState.FAILED
            transaction.add_execution(HERE, execution(number, state, finished_at=finished))
        transaction.add_execution(HERE, execution(101))

    database.write_now(fill)
    (chart,) = database.read_now(lambda transaction: transaction.tool_statistics(HERE))
    assert (chart.name, chart.calls, chart.succeeded, chart.peak_memory) == ("chart", 100, 90, 100 << 20)
    assert (chart.mean_ms, chart.p95_ms, chart.mean_cpu_ms) == (50.5, 96.0, 2.0)
    assert chart.last_used is not None
    for statistics in (
        database.read_now(lambda transaction: transaction.agent_statistics(HERE)),
        database.read_now(lambda transaction: transaction.capability_statistics(HERE)),
    ):
        (found,) = statistics
        assert (found.calls, found.succeeded, found.mean_ms, found.p95_ms) == (100, 90, 50.5, 96.0)
    assert database.read_now(lambda transaction: transaction.work_in_hand(HERE)) == {"analyst": 1}


def test_a_key_is_found_by_its_hash_until_it_is_revoked(database: Database) -> None:
    database.write_now(
        lambda transaction: transaction.add_key("h" * 64, ApiKey("k_1", "acme", "ci", "operator", BEGIN))
    )
    assert database.read_now(lambda transaction: transaction.find_key("g" * 64)) is None
    found = database.read_now(lambda transaction: transaction.find_key("h" * 64))
    assert found is not None
    assert (found.id, found.customer, found.role, found.created_at) == ("k_1", "acme", "operator", BEGIN)
    assert database.write_now(lambda transaction: transaction.revoke_key("acme", "k_1"))
    assert not database.write_now(lambda transaction: transaction.revoke_key("acme", "k_1"))
    revoked = database.read_now(lambda transaction: transaction.find_key("h" * 64))
    assert revoked is None or revoked.revoked_at is not None


def test_a_turn_is_told_what_those_before_it_settled(database: Database) -> None:
    talk, other = ConversationId("c_1"), ConversationId("c_2")
    first, later = Digest("a" * 64), Digest("b" * 64)

    def fill(transaction: Any) -> None:
        done = ExecutionState.COMPLETED
        transaction.add_execution(HERE, execution(1, ExecutionState.FAILED, agent=None))
        transaction.add_execution(HERE, execution(2, done, agent="analyst", agent_digest=first))
        transaction.add_execution(HERE, execution(3, done, agent="helper", agent_digest=first, depth=1))
        transaction.add_execution(HERE, execution(4, done, agent="analyst", agent_digest=later))
        transaction.add_execution(HERE, execution(5, agent="analyst", agent_digest=later))
        transaction.add_execution(HERE, execution(6, agent="helper", agent_digest=later, depth=1))
        transaction.add_execution(HERE, execution(7, done, conversation_id=other, agent="other", agent_digest=later))

    database.write_now(fill)
    none = [ConversationId(f"c_{number}") for number in range(10, 150)]
    so_far = database.read_now(lambda transaction: transaction.turns_so_far(HERE, [*none, talk, other]))
    assert so_far == {
        talk: TurnsSoFar("analyst", first, ExecutionId("x_5")),
        other: TurnsSoFar("other", later),
    }
    assert database.read_now(lambda transaction: transaction.first_version(HERE, talk, "helper")) == first
    assert database.read_now(lambda transaction: transaction.first_version(HERE, talk, "other")) is None


@pytest.mark.parametrize("is_prepared", [True, False])
async def test_a_conversation_that_has_ended_takes_no_message(database: Database, *, is_prepared: bool) -> None:
    talk = ConversationId("c_1")
    database.write_now(lambda transaction: transaction.add_conversation(HERE, conversation(1), one_shot=False))

    def count(transaction: Any, *, active: bool) -> bool:
        found = [
            transaction.touch_conversation(HERE, talk, messages=1, participants=(), active=each)
            for each in (active, False)
        ]
        return bool(found[0])

    async def write(*, active: bool) -> bool:
        if not is_prepared:
            return await database.write(lambda transaction: count(transaction, active=active))
        prepared = database.prepare(lambda transaction: count(transaction, active=active))
        assert prepared is not None
        return await database.commit(prepared)

    assert await write(active=True)
    database.write_now(lambda transaction: transaction.end_conversation(HERE, talk, EndReason.COMPLETED))
    assert not await write(active=True)
    assert await write(active=False)
    found = database.read_now(lambda transaction: transaction.conversation(HERE, talk))
    # Prepared writes are made together or not at all.
    assert found.message_count == (4 if is_prepared else 5)
    assert found.last_activity > BEGIN + timedelta(days=1)
