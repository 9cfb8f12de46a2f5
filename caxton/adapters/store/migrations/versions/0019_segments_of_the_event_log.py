# pyright: basic
"""the event log: segments of it may be detached

Until now the database refused every deletion from the log. It still does, but for events of a segment that is recorded with its
range and its root hash, which the database compares with the events themselves, and of which an event in the log tells.

Revision: 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

COVERED = """EXISTS (
        SELECT 1 FROM event_segments s
        WHERE s.customer = OLD.customer AND s.last_sequence >= OLD.sequence AND s.first_sequence <= OLD.sequence
          AND EXISTS (
            SELECT 1 FROM events e WHERE e.customer = s.customer AND e.event_id = s.event_id
              AND e.event_type = 'segment_detached' AND e.sequence > s.last_sequence
          )
    )"""

BLOCK_COVERED = """EXISTS (
        SELECT 1 FROM event_segments s WHERE s.customer = OLD.customer AND s.last_sequence >= OLD.block * 64 + 63
    )"""

FITS = """NEW.first_sequence = coalesce((SELECT max(last_sequence) FROM event_segments WHERE customer = NEW.customer), 0) + 1
      AND NEW.count = NEW.last_sequence - NEW.first_sequence + 1 AND NEW.count > 0
      AND NEW.root_hash = (SELECT hash FROM events WHERE customer = NEW.customer AND sequence = NEW.last_sequence)
      AND NEW.previous_hash = coalesce(
        (SELECT root_hash FROM event_segments WHERE customer = NEW.customer AND last_sequence = NEW.first_sequence - 1),
        '0000000000000000000000000000000000000000000000000000000000000000')"""

SQLITE = (
    "DROP TRIGGER events_never_go",
    "DROP TRIGGER event_blocks_never_go",
    f"""CREATE TRIGGER events_never_go BEFORE DELETE ON events WHEN NOT {COVERED}
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
    f"""CREATE TRIGGER event_blocks_never_go BEFORE DELETE ON event_blocks WHEN NOT {BLOCK_COVERED}
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
    f"""CREATE TRIGGER event_segments_only_follow BEFORE INSERT ON event_segments WHEN NOT coalesce({FITS}, 0)
    BEGIN SELECT RAISE(ABORT, 'events are append-only: a segment follows the last one, and is what the log has'); END""",
    """CREATE TRIGGER event_segments_never_change BEFORE UPDATE ON event_segments
    BEGIN SELECT RAISE(ABORT, 'events are append-only: UPDATE refused'); END""",
    """CREATE TRIGGER event_segments_never_go BEFORE DELETE ON event_segments
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
)

POSTGRESQL = (
    "DROP TRIGGER events_never_change ON events",
    "DROP TRIGGER event_blocks_never_change ON event_blocks",
    """CREATE TRIGGER events_never_change BEFORE UPDATE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
    """CREATE TRIGGER event_blocks_never_change BEFORE UPDATE OR TRUNCATE ON event_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
    f"""CREATE FUNCTION caxton_events_stay() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NOT {COVERED} THEN RAISE EXCEPTION 'events are append-only: DELETE refused'; END IF;
    RETURN OLD;
    END $$""",
    """CREATE TRIGGER events_never_go BEFORE DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION caxton_events_stay()""",
    f"""CREATE FUNCTION caxton_blocks_stay() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NOT {BLOCK_COVERED} THEN RAISE EXCEPTION 'events are append-only: DELETE refused'; END IF;
    RETURN OLD;
    END $$""",
    """CREATE TRIGGER event_blocks_never_go BEFORE DELETE ON event_blocks
    FOR EACH ROW EXECUTE FUNCTION caxton_blocks_stay()""",
    f"""CREATE FUNCTION caxton_segments_follow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    IF NOT coalesce({FITS}, false) THEN
        RAISE EXCEPTION 'events are append-only: a segment follows the last one, and is what the log has';
    END IF;
    RETURN NEW;
    END $$""",
    """CREATE TRIGGER event_segments_only_follow BEFORE INSERT ON event_segments
    FOR EACH ROW EXECUTE FUNCTION caxton_segments_follow()""",
    """CREATE TRIGGER event_segments_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_segments
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
)


def upgrade() -> None:
    op.create_table(
        "event_segments",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("root_hash", sa.String(length=64), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("open_executions", sa.Text(), nullable=False),
        sa.Column("file", sa.String(length=256), nullable=False),
        sa.Column("file_hash", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("detached_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "last_sequence"),
    )
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


SQLITE_BACK = (
    "DROP TRIGGER events_never_go",
    "DROP TRIGGER event_blocks_never_go",
    """CREATE TRIGGER events_never_go BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
    """CREATE TRIGGER event_blocks_never_go BEFORE DELETE ON event_blocks
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
)

POSTGRESQL_BACK = (
    *(f"DROP FUNCTION caxton_{name} CASCADE" for name in ("events_stay", "blocks_stay", "segments_follow")),
    "DROP TRIGGER events_never_change ON events",
    "DROP TRIGGER event_blocks_never_change ON event_blocks",
    """CREATE TRIGGER events_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
    """CREATE TRIGGER event_blocks_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
)


def downgrade() -> None:
    """Possible while nothing is detached: what has left cannot be taken in again."""
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM event_segments LIMIT 1")).first() is not None:
        raise NotImplementedError(
            "parts of the event log have left the database, and older versions do not know of that"
        )
    for statement in SQLITE_BACK if connection.dialect.name == "sqlite" else POSTGRESQL_BACK:
        connection.exec_driver_sql(statement)
    op.drop_table("event_segments")
