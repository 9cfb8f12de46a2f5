"""Tables of what operators granted to tools."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from caxton.adapters.store.schema import ID, NAME, metadata, scope_columns

tool_grants = Table(
    "tool_grants",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("tool", String(NAME), nullable=False),
    Column("agent", String(NAME)),
    Column("rights", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("count", BigInteger),
    Column("used", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(NAME * 2), nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoked_by", String(NAME * 2)),
    Column("key_id", String(ID)),
    Index("tool_grants_by_tool", "customer", "workspace", "tool"),
    Index("tool_grants_by_key", "customer", "key_id"),
)
"""What operators granted to tools: function, arguments, network, environment, files and limits are JSON in `rights`."""

tool_grant_uses = Table(
    "tool_grant_uses",
    metadata,
    *scope_columns(),
    Column("grant_id", String(ID), primary_key=True),
    Column("call", String(ID * 2), primary_key=True),
    Column("used_at", BigInteger, nullable=False),
)
"""Calls that a counted grant was used for: a call that is made again after a crash counts once."""
