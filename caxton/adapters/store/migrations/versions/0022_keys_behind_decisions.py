# pyright: basic
"""remembered_grants, tool_grants: the key that gave each

Revision: 0022, after 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = ("remembered_grants", "tool_grants")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("key_id", sa.String(length=40)))
        op.create_index(f"{table}_by_key", table, ["customer", "key_id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"{table}_by_key", table)
        op.drop_column(table, "key_id")
