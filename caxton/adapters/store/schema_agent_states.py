"""Tables of what WebAssembly agents keep."""

from sqlalchemy import BigInteger, Column, String, Table, Text

from caxton.adapters.store.schema import ID, NAME, metadata, scope_columns

agent_states = Table(
    "agent_states",
    metadata,
    *scope_columns(),
    Column("conversation_id", String(ID), primary_key=True),
    Column("agent", String(NAME), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
)
"""What an agent keeps for a conversation, or for all of them (conversation_id ""). A change is a new revision, so of two changes
of the same revision only one can be recorded; the latest few revisions are kept."""
