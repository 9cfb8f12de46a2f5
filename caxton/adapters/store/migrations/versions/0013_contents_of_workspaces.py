# pyright: basic
"""contents: which workspace they were brought to

Files of versions that were deployed are of their workspace. What was uploaded and never deployed has to be uploaded again.

Revision: 0013, after 0012.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

AT_A_TIME = 1_000


def upgrade() -> None:
    contents = op.create_table(
        "workspace_contents",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "digest"),
    )
    rows = op.get_bind().execute(sa.text("SELECT customer, workspace, files, created_at FROM versions"))
    found: dict[tuple[str, str, str], int] = {}
    for customer, workspace, files, created_at in rows:
        for digest in json.loads(files).values():
            found.setdefault((customer, workspace, digest), created_at)
    values: list[dict[str, Any]] = [
        {"customer": customer, "workspace": workspace, "digest": digest, "created_at": created_at}
        for (customer, workspace, digest), created_at in found.items()
    ]
    for start in range(0, len(values), AT_A_TIME):
        op.bulk_insert(contents, values[start : start + AT_A_TIME])


def downgrade() -> None:
    op.drop_table("workspace_contents")
