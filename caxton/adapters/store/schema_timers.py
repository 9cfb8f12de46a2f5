"""Tables of schedules and triggers."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from caxton.adapters.store.schema import ID, NAME, metadata, scope_columns

schedules = Table(
    "schedules",
    metadata,
    *scope_columns(),
    Column("agent", String(NAME), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("document", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("applied", Integer, nullable=False),
    Column("removed", Boolean, nullable=False),
)
"""Schedules of deployed agents. Where `applied` is not `revision`, the engine has to be told; what is removed stays until it
has been."""

schedule_runs = Table(
    "schedule_runs",
    metadata,
    *scope_columns(),
    Column("agent", String(NAME), primary_key=True),
    Column("schedule", String(NAME), primary_key=True),
    Column("due_at", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
)
"""What became of the latest due times of each schedule."""

triggers = Table(
    "triggers",
    metadata,
    *scope_columns(),
    Column("agent", String(NAME), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("hook_id", String(ID), nullable=False),
    Column("document", Text, nullable=False),
    Column("removed", Boolean, nullable=False),
    Index("triggers_by_hook", "hook_id", unique=True),
)
"""Webhooks of deployed agents. What is removed keeps its address."""
