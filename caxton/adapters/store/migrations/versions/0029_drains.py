# pyright: basic
"""versions that were replaced finish what they have in progress; at which generation each component changed last

Revision: 0029, after 0028.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

OPEN = sa.text("NOT one_shot AND ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "drains",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("deployment_id", sa.String(length=40)),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "kind", "name", "digest"),
    )
    op.create_index("drains_by_deployment", "drains", ["customer", "workspace", "deployment_id"])
    op.add_column("deployments", sa.Column("becomes", sa.String(length=16)))
    op.create_index(
        "conversations_open",
        "conversations",
        ["customer", "workspace"],
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_table(
        "component_changes",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "kind", "name"),
    )
    op.create_index("component_changes_by_generation", "component_changes", ["customer", "workspace", "generation"])


def downgrade() -> None:
    op.drop_table("component_changes")
    op.drop_index("conversations_open", "conversations")
    op.drop_column("deployments", "becomes")
    op.drop_table("drains")
