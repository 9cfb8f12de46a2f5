"""Live text of running turns: who listens, and what they hear."""

from caxton.adapters.streams.local import REMEMBERED_TEXT, LocalStream
from caxton.adapters.streams.postgres import PostgresStream

__all__ = ["REMEMBERED_TEXT", "LocalStream", "PostgresStream"]
