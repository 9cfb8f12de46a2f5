"""The table of push notifications."""

from sqlalchemy import Column, String, Table, Text

from caxton.adapters.store.schema import ID, metadata, scope_columns

push_configs = Table(
    "push_configs",
    metadata,
    *scope_columns(),
    Column("execution_id", String(ID), primary_key=True),
    Column("config_id", String(100), primary_key=True),
    Column("document", Text, nullable=False),
)
"""Where changes of a turn are pushed. Rows go when its end has been told."""
