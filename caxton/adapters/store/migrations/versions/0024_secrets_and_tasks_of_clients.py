# pyright: basic
"""secrets that sign what clients hold, and tasks of clients

Revision: 0024, after 0023.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "server_secrets",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "client_tasks",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "execution_id"),
    )
    op.create_index("client_tasks_by_principal", "client_tasks", ["customer", "workspace", "principal", "created_at"])


def downgrade() -> None:
    op.drop_index("client_tasks_by_principal", "client_tasks")
    op.drop_table("client_tasks")
    op.drop_table("server_secrets")
