"""Registry, messages, executions and events in SQLite or PostgreSQL."""
