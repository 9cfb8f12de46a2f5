# pyright: basic
"""rollouts of agents, and how messages of agents in one ended

Revision: 0020, after 0019.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "id"),
    )
    op.create_index("rollouts_by_agent", "rollouts", ["customer", "workspace", "agent", "began_at"])
    op.create_index("rollouts_live", "rollouts", ["customer", "workspace", "live"])
    op.create_table(
        "rollout_outcomes",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("rollout_id", sa.String(length=40), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("took", sa.Float(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "rollout_id", "execution_id"),
    )


def downgrade() -> None:
    op.drop_table("rollout_outcomes")
    op.drop_table("rollouts")
