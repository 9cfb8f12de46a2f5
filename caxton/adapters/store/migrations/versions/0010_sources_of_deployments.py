# pyright: basic
"""deployments: the folder that a deployment comes from

Revision: 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("source", sa.Text()))


def downgrade() -> None:
    op.drop_column("deployments", "source")
