# pyright: basic
"""circuit breakers of agents, tools and model providers

Revision: 0021, after 0020.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "kind", "name"),
    )
    op.add_column("generations", sa.Column("breakers", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("generations", "breakers")
    op.drop_table("breakers")
