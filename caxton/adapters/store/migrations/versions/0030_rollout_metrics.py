# pyright: basic
"""rollouts compare costs and SLA breaches

Revision: 0030, after 0029.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollout_outcomes", sa.Column("cost", sa.Float(), nullable=False, server_default=sa.text("0")))
    breached = sa.Column("breached", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("rollout_outcomes", breached)


def downgrade() -> None:
    op.drop_column("rollout_outcomes", "breached")
    op.drop_column("rollout_outcomes", "cost")
