# pyright: basic
"""turns: whether another message interrupts or replaces one

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("given_way", sa.String(length=16)))


def downgrade() -> None:
    op.drop_column("turns", "given_way")
