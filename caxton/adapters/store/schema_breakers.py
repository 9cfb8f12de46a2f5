"""Tables of circuit breakers and of agents that are not well."""

from sqlalchemy import Column, String, Table, Text

from caxton.adapters.store.schema import NAME, metadata, scope_columns

breakers = Table(
    "breakers",
    metadata,
    *scope_columns(),
    Column("kind", String(8), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("document", Text, nullable=False),
)
"""Breakers that are not closed, or have failures to remember. Whatever has no row is closed."""

agent_health = Table(
    "agent_health",
    metadata,
    *scope_columns(),
    Column("agent", String(NAME), primary_key=True),
    Column("document", Text, nullable=False),
)
"""Agents that are not well, and what was done for them."""
