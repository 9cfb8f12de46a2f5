# pyright: basic
"""deployments of whoever has a long name

Revision: 0032, after 0031.
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.alter_column("actor", existing_type=sa.String(64), type_=sa.String(128), existing_nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.alter_column("actor", existing_type=sa.String(128), type_=sa.String(64), existing_nullable=False)
