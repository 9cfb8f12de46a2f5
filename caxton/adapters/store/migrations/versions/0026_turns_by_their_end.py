# pyright: basic
"""turns by their end

Revision: 0026, after 0025.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("executions_by_end", "executions", ["customer", "workspace", "depth", "finished_at"])


def downgrade() -> None:
    op.drop_index("executions_by_end", "executions")
