# pyright: basic
"""content: which messages and steps refer to it, so that what nobody refers to any more can go

In PostgreSQL triggers keep it, whoever writes: also a process of an older version beside this one. In SQLite, whose writing process
runs without triggers, whoever writes a message or a step adds to it.

Revision: 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SQLITE_TRIGGERS = (
    """CREATE TRIGGER messages_leave_content AFTER DELETE ON messages WHEN OLD.digest IS NOT NULL OR OLD.artifacts <> '[]'
    BEGIN
    DELETE FROM content_uses WHERE customer = OLD.customer AND workspace = OLD.workspace AND owner = OLD.id;
    END""",
    """CREATE TRIGGER steps_leave_content AFTER DELETE ON steps WHEN instr(OLD.payload, '"digest":"') > 0
    BEGIN
    DELETE FROM content_uses WHERE customer = OLD.customer AND workspace = OLD.workspace AND owner = OLD.execution_id
      AND step = OLD.step AND call = OLD.call;
    END""",
)

# Only where Caxton itself puts addresses: arguments and results of calls may hold any, and prove nothing.
POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION caxton_addresses(artifacts text) RETURNS SETOF text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN
    RETURN QUERY SELECT each.value ->> 'digest' FROM json_array_elements(artifacts::json) each WHERE each.value ->> 'digest' IS NOT NULL;
    EXCEPTION WHEN OTHERS THEN RETURN;
    END $$""",
    """CREATE FUNCTION caxton_within(payload text, VARIADIC path text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN
    RETURN replace(payload, '\\u0000', '\\u0020')::json #>> path; -- which refuses escaped NULs
    EXCEPTION WHEN OTHERS THEN RETURN NULL;
    END $$""",
    """CREATE FUNCTION caxton_messages_use() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    INSERT INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT n.customer, n.digest, n.workspace, n.id, -1, 0 FROM new_rows n WHERE n.digest IS NOT NULL
    UNION SELECT n.customer, d.digest, n.workspace, n.id, -1, 0
    FROM new_rows n CROSS JOIN LATERAL caxton_addresses(n.artifacts) d (digest) WHERE n.artifacts <> '[]'
    ON CONFLICT DO NOTHING;
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER messages_use_content AFTER INSERT ON messages REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_messages_use()""",
    """CREATE FUNCTION caxton_messages_leave() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    DELETE FROM content_uses u USING old_rows o
    WHERE u.customer = o.customer AND u.workspace = o.workspace AND u.owner = o.id
      AND (o.digest IS NOT NULL OR o.artifacts <> '[]');
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER messages_leave_content AFTER DELETE ON messages REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_messages_leave()""",
    """CREATE FUNCTION caxton_steps_use() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    INSERT INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT n.customer, d.digest, n.workspace, n.execution_id, n.step, n.call
    FROM new_rows n CROSS JOIN LATERAL caxton_addresses(caxton_within(n.payload, 'artifacts')) d (digest)
    WHERE n.kind = 'tool' AND position('"digest":"' IN n.payload) > 0
    UNION SELECT n.customer, caxton_within(n.payload, 'draft', 'content', 'digest'), n.workspace, n.execution_id, n.step, n.call
    FROM new_rows n
    WHERE n.kind = 'model' AND position('"digest":"' IN n.payload) > 0
      AND caxton_within(n.payload, 'draft', 'content', 'digest') IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER steps_use_content AFTER INSERT ON steps REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_steps_use()""",
    """CREATE FUNCTION caxton_steps_leave() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
    DELETE FROM content_uses u USING old_rows o
    WHERE u.customer = o.customer AND u.workspace = o.workspace AND u.owner = o.execution_id
      AND u.step = o.step AND u.call = o.call
      AND position('"digest":"' IN o.payload) > 0;
    RETURN NULL;
    END $$""",
    """CREATE TRIGGER steps_leave_content AFTER DELETE ON steps REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION caxton_steps_leave()""",
)

SQLITE_FILL = (
    """INSERT OR IGNORE INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT customer, digest, workspace, id, -1, 0 FROM messages WHERE digest IS NOT NULL""",
    """INSERT OR IGNORE INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT m.customer, json_extract(a.value, '$.digest'), m.workspace, m.id, -1, 0 FROM messages m, json_each(m.artifacts) a
    WHERE m.artifacts <> '[]' AND json_extract(a.value, '$.digest') IS NOT NULL""",
    """INSERT OR IGNORE INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT s.customer, json_extract(a.value, '$.digest'), s.workspace, s.execution_id, s.step, s.call
    FROM steps s, json_each(CASE WHEN json_valid(s.payload) THEN s.payload ELSE '{}' END, '$.artifacts') a
    WHERE s.kind = 'tool' AND instr(s.payload, '"digest":"') > 0 AND json_extract(a.value, '$.digest') IS NOT NULL""",
    """INSERT OR IGNORE INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT customer, json_extract(payload, '$.draft.content.digest'), workspace, execution_id, step, call FROM steps
    WHERE kind = 'model' AND instr(payload, '"digest":"') > 0 AND json_valid(payload)
      AND json_extract(payload, '$.draft.content.digest') IS NOT NULL""",
)

POSTGRESQL_FILL = (
    """INSERT INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT customer, digest, workspace, id, -1, 0 FROM messages WHERE digest IS NOT NULL
    UNION SELECT n.customer, d.digest, n.workspace, n.id, -1, 0
    FROM messages n CROSS JOIN LATERAL caxton_addresses(n.artifacts) d (digest) WHERE n.artifacts <> '[]'
    ON CONFLICT DO NOTHING""",
    """INSERT INTO content_uses (customer, digest, workspace, owner, step, call)
    SELECT n.customer, d.digest, n.workspace, n.execution_id, n.step, n.call
    FROM steps n CROSS JOIN LATERAL caxton_addresses(caxton_within(n.payload, 'artifacts')) d (digest)
    WHERE n.kind = 'tool' AND position('"digest":"' IN n.payload) > 0
    UNION SELECT n.customer, caxton_within(n.payload, 'draft', 'content', 'digest'), n.workspace, n.execution_id, n.step, n.call
    FROM steps n
    WHERE n.kind = 'model' AND position('"digest":"' IN n.payload) > 0
      AND caxton_within(n.payload, 'draft', 'content', 'digest') IS NOT NULL
    ON CONFLICT DO NOTHING""",
)


def upgrade() -> None:
    op.create_table(
        "content_uses",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("call", sa.Integer(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("customer", "digest", "workspace", "owner", "step", "call"),
        sqlite_with_rowid=False,
    )
    op.create_index("content_uses_by_owner", "content_uses", ["customer", "workspace", "owner"])
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(sa.text("LOCK TABLE messages, steps IN SHARE ROW EXCLUSIVE MODE"))  # others may write
    for statement in (*SQLITE_TRIGGERS, *SQLITE_FILL) if sqlite else (*POSTGRESQL_TRIGGERS, *POSTGRESQL_FILL):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("messages_leave_content", "steps_leave_content"):
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name in ("messages_use", "messages_leave", "steps_use", "steps_leave", "addresses", "within"):
            op.execute(f"DROP FUNCTION caxton_{name} CASCADE")
    op.drop_table("content_uses")
