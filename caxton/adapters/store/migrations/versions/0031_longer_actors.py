# pyright: basic
"""deployments of whoever has a long name

Revision: 0031, after 0030.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.alter_column("actor", existing_type=sa.String(64), type_=sa.String(128), existing_nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.alter_column("actor", existing_type=sa.String(128), type_=sa.String(64), existing_nullable=False)
