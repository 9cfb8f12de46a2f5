# pyright: basic
"""fewer indices on the path of every message

Revision: 0004, after 0003.

Times never go back within a log, so a time is found by bisection of the log itself. Most events have no error code and most
steps no tool: an index need not hold those.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARTIAL = (
    ("events_by_error", "events", ["customer", "workspace", "error_code", "sequence"], "error_code IS NOT NULL"),
    ("steps_by_tool", "steps", ["customer", "workspace", "tool", "created_at"], "tool IS NOT NULL"),
)


def upgrade() -> None:
    op.drop_index("events_by_time", "events")
    for name, table, columns, where in PARTIAL:
        op.drop_index(name, table)
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
