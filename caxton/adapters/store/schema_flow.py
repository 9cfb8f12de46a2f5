"""Tables of flow control."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

from caxton.adapters.store.schema import DIGEST, ID, metadata, scope_columns

flow_places = Table(
    "flow_places",
    metadata,
    *scope_columns(),
    Column("execution_id", String(ID), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("call", Integer, primary_key=True),
    Column("root_id", String(ID), nullable=False),
    Column("conversation_id", String(ID), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("resource", String(300), nullable=False),
    Column("gates", Text, nullable=False),
    Column("line", String(DIGEST), nullable=False),
    Column("weight", Float, nullable=False),
    Column("agent_weight", Float, nullable=False),
    Column("state", String(8), nullable=False),
    Column("worker", String(ID)),
    Column("since", BigInteger, nullable=False),
    Column("near_since", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("not_before", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Index("flow_places_by_state", "state", "line", "customer", "agent", "since"),
    Index("flow_places_by_worker", "worker"),
    Index("flow_places_by_expiry", "expires_at"),
)
"""Calls of models and tools that limits hold for, while they are in flight or wait."""

flow_gates = Table(
    "flow_gates",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("max_in_flight", Integer),
    Column("rate", Float),
    Column("in_flight", Integer, nullable=False),
    Column("tokens", Float, nullable=False),
    Column("as_of", BigInteger, nullable=False),
)
"""What limits them, over all workers. The row without a name is locked while calls are let in."""
