"""Tables of rollouts."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, String, Table, Text, false, text

from caxton.adapters.store.schema import DIGEST, ID, NAME, metadata, scope_columns

rollouts = Table(
    "rollouts",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("agent", String(NAME), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Index("rollouts_by_agent", "customer", "workspace", "agent", "began_at"),
    Index("rollouts_live", "customer", "workspace", "live"),
)
"""Rollouts of agents, those that have ended as well."""

rollout_outcomes = Table(
    "rollout_outcomes",
    metadata,
    *scope_columns(),
    Column("rollout_id", String(ID), primary_key=True),
    Column("execution_id", String(ID), primary_key=True),
    Column("digest", String(DIGEST), nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("took", Float, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False, server_default=text("0")),
    Column("breached", Boolean, nullable=False, server_default=false()),
)
"""How messages of agents in a rollout ended, until the next look counts them."""

rehearsals = Table(
    "rehearsals",
    metadata,
    *scope_columns(),
    Column("rollout_id", String(ID), primary_key=True),
    Column("gate", String(NAME * 2), primary_key=True),
    Column("source", String(ID), primary_key=True),
    Column("execution_id", String(ID), nullable=False),
    Column("state", String(16), nullable=False),
    Index("rehearsals_by_execution", "customer", "workspace", "execution_id"),
)
"""Recorded turns that candidates answer for gates and shadows, and the executions by which they do."""
