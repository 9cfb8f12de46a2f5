"""The table of versions that were replaced and have work in progress."""

from sqlalchemy import Column, Index, String, Table, Text

from caxton.adapters.store.schema import DIGEST, ID, NAME, metadata, scope_columns

drains = Table(
    "drains",
    metadata,
    *scope_columns(),
    Column("kind", String(8), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("digest", String(DIGEST), primary_key=True),
    Column("deployment_id", String(ID)),
    Column("document", Text, nullable=False),
    Index("drains_by_deployment", "customer", "workspace", "deployment_id"),
)
"""Versions of agents and tools that were replaced and have work in progress; a row goes when there is nothing left."""
