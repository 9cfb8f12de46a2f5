# pyright: basic
"""the event log: a hash chain a customer, triggers that refuse changes, and what governance keeps

Revision: 0002, after 0001.
"""

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from caxton.domain.events.chain import GENESIS, fields_of, link
from caxton.domain.events.envelope import Event

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQLITE_TRIGGERS = (
    """CREATE TRIGGER events_never_change BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only: UPDATE refused'); END""",
    """CREATE TRIGGER events_never_go BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
    """CREATE TRIGGER event_heads_never_go BEFORE DELETE ON event_heads
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
    """CREATE TRIGGER event_heads_only_grow BEFORE UPDATE ON event_heads
    WHEN NEW.customer <> OLD.customer OR NEW.sequence <= OLD.sequence
    BEGIN SELECT RAISE(ABORT, 'events are append-only: the head only moves on'); END""",
    # INSERT OR REPLACE deletes without delete triggers: what is there already must not be inserted again.
    """CREATE TRIGGER events_only_follow BEFORE INSERT ON events
    WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM events WHERE customer = NEW.customer)
      OR NEW.sequence > (SELECT coalesce(max(sequence), 0) FROM event_heads WHERE customer = NEW.customer)
      OR EXISTS (SELECT 1 FROM events WHERE customer = NEW.customer AND event_id = NEW.event_id)
    BEGIN SELECT RAISE(ABORT, 'events are append-only: an event follows the last one, within the head'); END""",
    """CREATE TRIGGER event_heads_begin_once BEFORE INSERT ON event_heads
    WHEN EXISTS (SELECT 1 FROM event_heads WHERE customer = NEW.customer)
    BEGIN SELECT RAISE(ABORT, 'events are append-only: the head only moves on'); END""",
)

POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION caxton_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'events are append-only: % refused', TG_OP; END $$""",
    """CREATE FUNCTION caxton_head_only_grows() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NEW.customer <> OLD.customer OR NEW.sequence <= OLD.sequence THEN
        RAISE EXCEPTION 'events are append-only: the head only moves on';
    END IF;
    RETURN NEW;
    END $$""",
    """CREATE TRIGGER events_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
    """CREATE TRIGGER event_heads_never_go BEFORE DELETE OR TRUNCATE ON event_heads
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
    """CREATE TRIGGER event_heads_only_grow BEFORE UPDATE ON event_heads
    FOR EACH ROW EXECUTE FUNCTION caxton_head_only_grows()""",
    """CREATE FUNCTION caxton_events_follow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NEW.sequence > coalesce((SELECT sequence FROM event_heads WHERE customer = NEW.customer), 0)
      OR NEW.sequence <> coalesce((SELECT max(sequence) FROM events WHERE customer = NEW.customer), 0) + 1 THEN
        RAISE EXCEPTION 'events are append-only: an event follows the last one, within the head';
    END IF;
    RETURN NEW;
    END $$""",
    """CREATE TRIGGER events_only_follow BEFORE INSERT ON events
    FOR EACH ROW EXECUTE FUNCTION caxton_events_follow()""",
)


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("root_id", sa.String(length=40), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("capability", sa.String(length=64), nullable=True),
        sa.Column("action_type", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("risk_level", sa.String(length=16), nullable=False),
        sa.Column("approval_mode", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer", "workspace", "id"),
    )
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.create_index("approvals_by_execution", ["customer", "workspace", "execution_id"], unique=False)
        batch_op.create_index("approvals_by_state", ["customer", "workspace", "state", "requested_at"], unique=False)

    op.create_table(
        "budgets",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=16), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("limit", sa.Float(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Float(), nullable=False),
        sa.Column("warned", sa.Boolean(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "agent", "resource", "period"),
    )
    op.create_table(
        "deadlines",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "execution_id", "kind", "level"),
    )
    with op.batch_alter_table("deadlines", schema=None) as batch_op:
        batch_op.create_index("deadlines_by_time", ["due_at"], unique=False)

    op.create_table(
        "document_positions",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("view", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "view"),
    )
    op.create_table(
        "documents",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("view", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "view", "workspace", "key"),
    )
    op.create_table(
        "event_heads",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("customer"),
    )
    with op.batch_alter_table("components", schema=None) as batch_op:
        batch_op.add_column(sa.Column("suspended", sa.Text(), nullable=True))

    _replace_events()
    with op.batch_alter_table("executions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deployment_id", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("capability_version", sa.String(length=64), nullable=True))

    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deployment_id", sa.String(length=40), nullable=True))


def _replace_events():
    """The log so far moves into the new table, in its order, and is chained."""
    connection = op.get_bind()
    old = connection.execute(sa.text("SELECT * FROM events ORDER BY position")).mappings().all()
    op.drop_table("events")
    events = op.create_table(
        "events",
        sa.Column("customer", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace", sa.String(64), nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.String(40)),
        sa.Column("skill_id", sa.String(64)),
        sa.Column("skill_version", sa.String(64)),
        sa.Column("execution_id", sa.String(40)),
        sa.Column("agent", sa.String(64)),
        sa.Column("risk_level", sa.String(16)),
        sa.Column("approval_mode", sa.String(16)),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.String(40)),
        sa.Column("conversation_id", sa.String(40)),
        sa.Column("message_id", sa.String(40)),
        sa.Column("channel_type", sa.String(16)),
        sa.Column("error_code", sa.String(64)),
        sa.Column("latency_ms", sa.Float()),
        sa.Column("trace_id", sa.String(32)),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("customer", "sequence"),
    )
    op.create_index("events_by_id", "events", ["customer", "event_id"], unique=True)
    op.create_index("events_by_time", "events", ["customer", "timestamp", "sequence"])
    for name, column in (
        ("type", "event_type"),
        ("correlation", "correlation_id"),
        ("agent", "agent"),
        ("actor", "actor"),
        ("skill", "skill_id"),
        ("conversation", "conversation_id"),
        ("deployment", "deployment_id"),
        ("error", "error_code"),
    ):
        op.create_index(f"events_by_{name}", "events", ["customer", "workspace", column, "sequence"])
    _chain(connection, events, old)
    sqlite = connection.dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        connection.execute(sa.text(statement))


def _chain(connection, events, old):
    heads = {}
    for row in old:
        sequence, last, previous = heads.get(row["customer"], (0, 0, GENESIS))
        last = max(last, row["timestamp"])
        known = {name: row[name] for name in row if name in Event.model_fields and name not in ("payload", "timestamp")}
        event = Event(
            **{**known, "customer_id": row["customer"], "sequence": sequence + 1},
            timestamp=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=last),
            payload=json.loads(row["payload"]),
        )
        fields = fields_of(event)
        fields["hash"] = link(previous, fields)
        connection.execute(events.insert(), fields)
        heads[row["customer"]] = (sequence + 1, last, fields["hash"])
    insert = sa.text(
        "INSERT INTO event_heads (customer, sequence, timestamp, hash) VALUES (:customer, :sequence, :timestamp, :hash)"
    )
    for customer, (sequence, last, previous) in heads.items():
        connection.execute(insert, {"customer": customer, "sequence": sequence, "timestamp": last, "hash": previous})


def downgrade() -> None:
    """There is no way back: a log that could be unmade would prove nothing."""
    raise NotImplementedError("the event log cannot be taken away")
