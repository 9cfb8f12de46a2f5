"""The store keeps the same promises over SQLite and over PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from caxton.adapters.store import migrate as migrate_module
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import HEAD, migrate, migrate_apart
from caxton.adapters.store.schema import metadata
from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.conversations import Conversation, ConversationState, EndReason
from caxton.domain.deployments import Bundle, DeploymentRequest, DeploymentSource
from caxton.domain.errors import StoreUnavailable
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.permissions import KeyGrant
from caxton.domain.records import ApiKey, ExecutionRecord, HistoryWanted, StepRecord
from caxton.domain.usage import Usage

HERE = Scope(customer="acme", workspace="here")
ELSEWHERE = [
    Scope(customer="acme", workspace="there"),
    Scope(customer="acm", workspace="here"),
    Scope(customer="other", workspace="here"),
]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


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


@pytest.mark.requirement("SEC-1")
def test_an_old_key_keeps_its_role_in_all_workspaces(database: Database) -> None:
    config = Config()
    folder = Path(migrate_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
        connection.execute(
            text(
                "INSERT INTO api_keys (hash, id, customer, name, role, created_at) "
                "VALUES ('h1', 'k_1', 'acme', 'old', 'operator', 1), ('h2', 'k_2', 'acme', 'boss', 'admin', 2)"
            )
        )
        command.upgrade(config, "head")
        connection.commit()
    found = database.read_now(lambda transaction: transaction.keys("acme"))
    assert [key.grants for key in found] == [(KeyGrant(role="operator"),), (KeyGrant(role="admin"),)]
    known = database.read_now(lambda transaction: transaction.find_key("h1"))
    assert known is not None
    assert known.revoked_at is None


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match=r'newer version of Caxton \(schema "9999"\)'):
        migrate(database)


@pytest.mark.requirement("SEC-2")
def test_whoever_has_a_long_name_deploys(database: Database) -> None:
    actor = f"operator:oidc/{'n' * 60}"
    request = DeploymentRequest(bundles=[])

    def add(transaction: Any) -> None:
        transaction.add_deployment(HERE, DeploymentId("d_1"), request, actor=actor, rollback_of=None)

    database.write_now(add)
    found = database.read_now(lambda transaction: transaction.deployment(HERE, DeploymentId("d_1")))
    assert found is not None
    assert found.actor == actor


@pytest.mark.requirement("DEP-5")
def test_components_come_from_the_folder_that_deployed_them_also_after_a_rollback(database: Database) -> None:
    ours, theirs = DeploymentSource(id="ours", place="a:/x"), DeploymentSource(id="theirs")
    bundles = {
        name: Bundle(kind="agent", name=name, files={f"{name}.toml": Digest("a" * 64)}) for name in ("a", "b", "c")
    }

    def fill(transaction: Any) -> None:
        made = {"d_1": ours, "d_2": theirs, "d_3": None}
        for number, source in made.items():
            request = DeploymentRequest(bundles=[], source=source)
            transaction.add_deployment(HERE, DeploymentId(number), request, actor="me", rollback_of=None)
        for name, first, live in (("a", "d_1", "d_1"), ("b", "d_1", "d_2"), ("c", "d_2", "d_3")):
            bundle = bundles[name]
            transaction.put_version(HERE, "agent", bundle, agent_version(name, bundle.digest), DeploymentId(first))
            transaction.put_component(
                HERE,
                "agent",
                name,
                digest=bundle.digest,
                version="1.0.0",
                state="Running",
                deployment_id=DeploymentId(live),
            )

    database.write_now(fill)
    found = database.read_now(lambda transaction: transaction.component_sources(HERE))
    assert found == {("agent", "a"): ours, ("agent", "b"): theirs, ("agent", "c"): theirs}
    for scope in ELSEWHERE:
        assert database.read_now(lambda transaction, scope=scope: transaction.component_sources(scope)) == {}


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
        transaction.add_key("h" * 64, ApiKey("k_1", "acme", "mine", (KeyGrant(role="admin"),), BEGIN))

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


def test_names_that_models_make_up_are_kept_as_far_as_there_is_room(database: Database) -> None:
    made_up = step(1, tool="t" * 300 + "\0", function="f\0" + "g" * 300)
    database.write_now(lambda transaction: transaction.add_step(HERE, made_up))
    [kept] = database.read_now(lambda transaction: transaction.steps_from(HERE, made_up.execution_id, 0))
    assert (kept.tool, kept.function) == ("t" * 64, "f\ufffd" + "g" * 126)


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


@pytest.mark.requirement("EVT-2")
def test_all_that_a_read_sees_is_of_one_moment(database: Database) -> None:
    """Also what it reads after another one has committed."""

    def count(transaction: Any) -> tuple[int, int]:
        steps = transaction.steps(HERE, [ExecutionId("x_1")])
        return len(transaction.messages(HERE, limit=10)), len(steps.get(ExecutionId("x_1"), []))

    def write(number: int) -> None:
        def work(transaction: Any) -> None:
            transaction.add_message(HERE, message(number))
            transaction.add_step(HERE, step(1, call=number))

        database.write_now(work)

    def look(transaction: Any) -> list[tuple[int, int]]:
        before = count(transaction)
        with ThreadPoolExecutor(1) as other:
            other.submit(write, 2).result(30)
        return [before, count(transaction)]

    write(1)
    assert database.read_now(look) == [(1, 1), (1, 1)]
    assert database.read_now(count) == (2, 2)


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
    assert [each.execution_id for each in shown] == ["x_16", "x_17", "x_19"]


def test_a_key_is_found_by_its_hash_until_it_is_revoked(database: Database) -> None:
    database.write_now(
        lambda transaction: transaction.add_key(
            "h" * 64, ApiKey("k_1", "acme", "ci", (KeyGrant(role="operator"),), BEGIN)
        )
    )
    assert database.read_now(lambda transaction: transaction.find_key("g" * 64)) is None
    found = database.read_now(lambda transaction: transaction.find_key("h" * 64))
    assert found is not None
    assert (found.id, found.customer, found.grants, found.created_at) == (
        "k_1",
        "acme",
        (KeyGrant(role="operator"),),
        BEGIN,
    )
    assert database.write_now(lambda transaction: transaction.revoke_key("acme", "k_1"))
    assert not database.write_now(lambda transaction: transaction.revoke_key("acme", "k_1"))
    revoked = database.read_now(lambda transaction: transaction.find_key("h" * 64))
    assert revoked is None or revoked.revoked_at is not None


def test_a_server_migrates_in_a_process_of_its_own_and_tells_what_keeps_it_from_that(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "a #1.db"))
    migrate_apart(database)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
    migrate_apart(database)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r'newer version of Caxton \(schema "9999"\)') as raised:
        migrate_apart(database)
    assert raised.value.hints
    database.close()
    (tmp_path / "none.db").write_bytes(b"this is not a database" * 100)
    none = Database(sqlite_url(tmp_path / "none.db"))
    with pytest.raises(StoreUnavailable, match="is not a database of Caxton"):
        migrate_apart(none)
    none.close()
