# pyright: basic
"""an index of blocks of the event log, in place of one of events for each field with few values

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FIELDS = {
    "event_type": "events_by_type",
    "deployment_id": "events_by_deployment",
    "skill_id": "events_by_skill",
    "agent": "events_by_agent",
    "actor": "events_by_actor",
}
"""The index that each field had."""

BLOCK = 64

SQLITE_TRIGGERS = (
    """CREATE TRIGGER event_blocks_never_change BEFORE UPDATE ON event_blocks
    BEGIN SELECT RAISE(ABORT, 'events are append-only: UPDATE refused'); END""",
    """CREATE TRIGGER event_blocks_never_go BEFORE DELETE ON event_blocks
    BEGIN SELECT RAISE(ABORT, 'events are append-only: DELETE refused'); END""",
)

POSTGRESQL_TRIGGERS = (
    # Not the business of whoever writes: while versions of Caxton change, one that knows no blocks may write beside this one.
    """CREATE FUNCTION caxton_index_events() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    INSERT INTO event_blocks (customer, workspace, field, value, block)
    SELECT DISTINCT e.customer, e.workspace, f.field, f.value, e.sequence / 64
    FROM new_events e CROSS JOIN LATERAL (
        VALUES ('event_type', e.event_type), ('deployment_id', e.deployment_id), ('skill_id', e.skill_id),
               ('agent', e.agent), ('actor', e.actor)
    ) f (field, value)
    WHERE f.value IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER events_enter_blocks AFTER INSERT ON events REFERENCING NEW TABLE AS new_events
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_index_events()""",
    """CREATE TRIGGER event_blocks_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_append_only()""",
)


def upgrade() -> None:
    blocks = op.create_table(
        "event_blocks",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "field", "value", "block"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(sa.text("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE"))  # others may write meanwhile
    events = sa.table("events", *map(sa.column, ("customer", "workspace", "sequence", *FIELDS)))
    for field, index in FIELDS.items():
        value = events.c[field]
        block = events.c.sequence.op("/")(sa.text(str(BLOCK)))  # of integers, so it is one
        found = sa.select(events.c.customer, events.c.workspace, sa.literal_column(f"'{field}'"), value, block)
        filled = blocks.insert().from_select(blocks.c.keys(), found.where(value.is_not(None)).distinct())
        connection.execute(filled)
        op.drop_index(index, "events")
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        connection.execute(sa.text(statement))
