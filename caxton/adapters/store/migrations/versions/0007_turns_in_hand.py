# pyright: basic
"""turns that are accepted and have not ended, in the order of their conversations

Revision: 0007, after 0006.
"""

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column(
            "sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("one_shot", sa.Boolean(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("turns_by_execution", "turns", ["customer", "workspace", "execution_id"], unique=True)
    op.create_index("turns_by_conversation", "turns", ["customer", "workspace", "conversation_id", "sequence"])
    op.create_index("turns_by_due_time", "turns", ["due_at"])
    op.add_column("conversations", sa.Column("accepted", sa.Integer(), nullable=False, server_default="0"))
    _adopt_what_runs()


def downgrade() -> None:
    op.drop_column("conversations", "accepted")
    op.drop_table("turns")


def _adopt_what_runs() -> None:
    """Turns that have begun and not ended were in the hands of workflows; from now on the store has them in hand."""
    connection = op.get_bind()
    executions, messages, conversations, turns = (
        sa.table(name, *map(sa.column, columns))
        for name, columns in {
            "executions": [
                "customer",
                "workspace",
                "id",
                "parent_id",
                "conversation_id",
                "message_id",
                "fingerprint",
                "agent",
                "capability",
                "state",
                "variables",
                "started_at",
            ],
            "messages": ["customer", "workspace", "id", "sender", "text", "digest", "size"],
            "conversations": ["customer", "workspace", "id", "one_shot"],
            "turns": [
                "customer",
                "workspace",
                "execution_id",
                "conversation_id",
                "one_shot",
                "request",
                "begun",
                "cancelled",
                "due_at",
                "accepted_at",
            ],
        }.items()
    )
    here = [executions.c.customer, executions.c.workspace]
    query = (
        sa.select(
            executions, messages.c.sender, messages.c.text, messages.c.digest, messages.c.size, conversations.c.one_shot
        )
        .join(
            messages,
            sa.and_(
                here[0] == messages.c.customer,
                here[1] == messages.c.workspace,
                executions.c.message_id == messages.c.id,
            ),
        )
        .join(
            conversations,
            sa.and_(
                here[0] == conversations.c.customer,
                here[1] == conversations.c.workspace,
                executions.c.conversation_id == conversations.c.id,
            ),
        )
        .where(executions.c.state == "Running", executions.c.parent_id.is_(None))
        .order_by(executions.c.started_at)
    )
    for row in connection.execute(query).all():
        content = {"text": row.text, "digest": row.digest, "size": row.size}
        request = {
            "scope": {"customer": row.customer, "workspace": row.workspace},
            "conversation_id": row.conversation_id,
            "execution_id": row.id,
            "message_id": row.message_id,
            "content": {name: value for name, value in content.items() if value is not None},
            "target": {"capability": row.capability} if row.capability else {"agent": row.agent},
            "sender": row.sender,
            "fingerprint": row.fingerprint,
            "one_shot": bool(row.one_shot),
            "variables": json.loads(row.variables),
        }
        connection.execute(
            turns.insert().values(
                customer=row.customer,
                workspace=row.workspace,
                execution_id=row.id,
                conversation_id=row.conversation_id,
                one_shot=bool(row.one_shot),
                request=json.dumps(request),
                begun=True,
                cancelled=False,
                due_at=time.time_ns() // 1000,
                accepted_at=row.started_at,
            )
        )
