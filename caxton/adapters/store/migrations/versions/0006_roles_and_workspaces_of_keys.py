# pyright: basic
"""keys: roles a workspace, custom roles, expiry, last use

A key's role becomes a role that is granted for all workspaces of its customer.

Revision: 0006, after 0005.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "roles",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "name"),
    )
    changes = op.create_table(
        "access_changes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(changes, [{"id": 1, "generation": 0}])
    op.add_column("api_keys", sa.Column("grants", sa.Text(), nullable=False, server_default="[]"))
    for column in ("expires_at", "last_used_at"):
        op.add_column("api_keys", sa.Column(column, sa.BigInteger()))
    op.add_column("api_keys", sa.Column("rate", sa.Float()))
    connection = op.get_bind()
    roles = connection.execute(sa.text("SELECT DISTINCT role FROM api_keys")).scalars().all()
    for role in roles:
        grants = json.dumps([{"role": role}])
        connection.execute(
            sa.text("UPDATE api_keys SET grants = :grants WHERE role = :role"), {"grants": grants, "role": role}
        )
    op.drop_column("api_keys", "role")


def downgrade() -> None:
    op.add_column("api_keys", sa.Column("role", sa.String(length=16), nullable=False, server_default="viewer"))
    connection = op.get_bind()
    for role in ("viewer", "developer", "operator", "admin"):
        grants = json.dumps([{"role": role}])
        connection.execute(
            sa.text("UPDATE api_keys SET role = :role WHERE grants = :grants"), {"grants": grants, "role": role}
        )
    for column in ("grants", "expires_at", "last_used_at", "rate"):
        op.drop_column("api_keys", column)
    op.drop_table("access_changes")
    op.drop_table("roles")
