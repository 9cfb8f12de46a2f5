# pyright: basic
"""approvals: who asked, votes, edited arguments, remembered grants

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NEW = ("requested_by", "four_eyes", "approvals_needed", "arguments", "remembered")


def upgrade() -> None:
    op.add_column("approvals", sa.Column("requested_by", sa.String(length=128)))
    op.add_column("approvals", sa.Column("four_eyes", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("approvals", sa.Column("approvals_needed", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("approvals", sa.Column("arguments", sa.Text()))
    op.add_column("approvals", sa.Column("remembered", sa.String(length=40)))
    op.create_table(
        "approval_votes",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("approval_id", sa.String(length=40), nullable=False),
        sa.Column("approver", sa.String(length=128), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("arguments", sa.Text()),
        sa.PrimaryKeyConstraint("customer", "workspace", "approval_id", "approver"),
    )
    op.create_table(
        "remembered_grants",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("customer", "workspace", "id"),
    )
    op.create_index(
        "remembered_grants_by_call", "remembered_grants", ["customer", "workspace", "agent", "name", "expires_at"]
    )


def downgrade() -> None:
    op.drop_table("remembered_grants")
    op.drop_table("approval_votes")
    for column in NEW:
        op.drop_column("approvals", column)
