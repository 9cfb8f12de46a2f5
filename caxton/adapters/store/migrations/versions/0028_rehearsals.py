# pyright: basic
"""recorded turns that candidates of rollouts answer

Revision: 0028, after 0027.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rehearsals",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("rollout_id", sa.String(length=40), nullable=False),
        sa.Column("gate", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "rollout_id", "gate", "source"),
    )
    op.create_index("rehearsals_by_execution", "rehearsals", ["customer", "workspace", "execution_id"])


def downgrade() -> None:
    op.drop_table("rehearsals")
