"""Tables of what clients of other protocols are given: secrets that sign it, and tasks."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from caxton.adapters.store.schema import ID, NAME, metadata, scope_columns

server_secrets = Table(
    "server_secrets",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Random values that all servers of a database share, each made by the first that needs it."""

client_tasks = Table(
    "client_tasks",
    metadata,
    *scope_columns(),
    Column("execution_id", String(ID), primary_key=True),
    Column("principal", String(NAME * 4), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("client_tasks_by_principal", "customer", "workspace", "principal", "created_at"),
)
"""Executions that a client began as tasks, and for whom. A row goes with its execution."""
