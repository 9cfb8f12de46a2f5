"""Tables of what is kept for how long, and of what has left the database."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from caxton.adapters.store.schema import DIGEST, NAME, metadata, scope_columns

retention_periods = Table(
    "retention_periods",
    metadata,
    *scope_columns(),
    Column("periods", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""How long each workspace keeps what, as JSON."""

event_segments = Table(
    "event_segments",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("last_sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("first_sequence", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("previous_hash", String(DIGEST), nullable=False),
    Column("root_hash", String(DIGEST), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("open_executions", Text, nullable=False),
    Column("file", String(NAME * 4), nullable=False),
    Column("file_hash", String(DIGEST), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("detached_at", BigInteger, nullable=False),
)
"""Parts of the log that have left the database. Triggers let only their events be deleted, and no segment be changed."""
