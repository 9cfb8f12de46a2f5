# pyright: basic
"""deadlines: how often one was tried, and when it was due first

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deadlines", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deadlines", sa.Column("first_due_at", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("deadlines", "first_due_at")
    op.drop_column("deadlines", "attempts")
