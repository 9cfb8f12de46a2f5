# pyright: basic
"""flow: calls that have a place or wait for one, the gates that they pass, and how long a turn has waited

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flow_places",
        sa.Column("customer", sa.String(length=64), nullable=False),
        sa.Column("workspace", sa.String(length=64), nullable=False),
        sa.Column("execution_id", sa.String(length=40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.String(length=40), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("resource", sa.String(length=300), nullable=False),
        sa.Column("gates", sa.Text(), nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("agent_weight", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("worker", sa.String(length=40)),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("near_since", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "workspace", "execution_id", "step", "call"),
    )
    op.create_index("flow_places_by_state", "flow_places", ["state", "line", "customer", "agent", "since"])
    op.create_index("flow_places_by_worker", "flow_places", ["worker"])
    op.create_index("flow_places_by_expiry", "flow_places", ["expires_at"])
    gates = op.create_table(
        "flow_gates",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("max_in_flight", sa.Integer()),
        sa.Column("rate", sa.Float()),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.bulk_insert(gates, [{"name": "", "in_flight": 0, "tokens": 0.0, "as_of": 0}])
    op.add_column("turns", sa.Column("waited", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("turns", "waited")
    op.drop_table("flow_gates")
    op.drop_table("flow_places")
