"""Tables. Every row carries its customer and workspace, and every key starts with them.

Times are microseconds since the epoch; structured values are JSON text. Both mean the same in SQLite and PostgreSQL.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, false, text

metadata = MetaData()

NAME = 64
ID = 40
DIGEST = 64


def scope_columns() -> list[Column[str]]:
    """The columns that every key starts with."""
    return [Column("customer", String(NAME), primary_key=True), Column("workspace", String(NAME), primary_key=True)]


def _present(name: str, *columns: str, column: str) -> Index:
    """An index of rows in which `column`, which is mostly empty, is not."""
    where = text(f"{column} IS NOT NULL")
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


OPEN = text("NOT one_shot AND ended_at IS NULL")
"""Conversations that may go on: queries that say it in these words find them by their index."""

generations = Table(
    "generations",
    metadata,
    *scope_columns(),
    Column("generation", BigInteger, nullable=False),
    Column("breakers", BigInteger, nullable=False, server_default=text("0")),
)
"""Counts changes of a workspace's components, and of its circuit breakers, so that what is in memory is known to be stale."""

versions = Table(
    "versions",
    metadata,
    *scope_columns(),
    Column("kind", String(8), primary_key=True),
    Column("digest", String(DIGEST), primary_key=True),
    Column("name", String(NAME), nullable=False),
    Column("version", String(NAME), nullable=False),
    Column("files", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("deployment_id", String(ID)),
    Column("created_at", BigInteger, nullable=False),
    Index("versions_by_name", "customer", "workspace", "kind", "name"),
)
"""Immutable versions of agents and tools, by content."""

components = Table(
    "components",
    metadata,
    *scope_columns(),
    Column("kind", String(8), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("digest", String(DIGEST), nullable=False),
    Column("version", String(NAME), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("deployment_id", String(ID)),
    Column("suspended", Text),
    Column("updated_at", BigInteger, nullable=False),
)
"""What is deployed now: the active version and the state of each agent and tool."""

component_changes = Table(
    "component_changes",
    metadata,
    *scope_columns(),
    Column("kind", String(8), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Index("component_changes_by_generation", "customer", "workspace", "generation"),
)
"""At which generation each component was changed or removed last, so that an index in memory reads only what is new."""

deployments = Table(
    "deployments",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(NAME * 2), nullable=False),
    Column("request", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("error", Text),
    Column("rollback_of", String(ID)),
    Column("source", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("becomes", String(16)),
    Index("deployments_by_time", "customer", "workspace", "created_at"),
)

workspace_contents = Table(
    "workspace_contents",
    metadata,
    *scope_columns(),
    Column("digest", String(DIGEST), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)
"""Content that somebody brought to a workspace: uploaded for its deployments, or made by a tool that was called there by hand."""

content_uses = Table(
    "content_uses",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("digest", String(DIGEST), primary_key=True),
    Column("workspace", String(NAME), primary_key=True),
    Column("owner", String(ID), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("call", Integer, primary_key=True, autoincrement=False),
    Index("content_uses_by_owner", "customer", "workspace", "owner"),
    sqlite_with_rowid=False,
)
"""Which message (step -1), or which step of an execution, refers to content. In PostgreSQL triggers add to it, in SQLite whoever
writes; in both a trigger takes out what is removed."""

conversations = Table(
    "conversations",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("topic", Text),
    Column("capability", String(NAME)),
    Column("agent", String(NAME)),
    Column("participants", Text, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("accepted", Integer, nullable=False, server_default="0"),
    Column("one_shot", Boolean, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("last_activity", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("end_reason", String(16)),
    Column("metadata", Text, nullable=False),
    Index("conversations_by_activity", "customer", "workspace", "last_activity"),
    Index("conversations_open", "customer", "workspace", sqlite_where=OPEN, postgresql_where=OPEN),
)

messages = Table(
    "messages",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("conversation_id", String(ID), nullable=False),
    Column("execution_id", String(ID)),
    Column("type", String(16), nullable=False),
    Column("sender", String(NAME), nullable=False),
    Column("receiver", String(NAME), nullable=False),
    Column("reply_to", String(ID)),
    Column("text", Text),
    Column("digest", String(DIGEST)),
    Column("size", Integer, nullable=False),
    Column("artifacts", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("trace_id", String(32)),
    Column("span_id", String(16)),
    Column("created_at", BigInteger, nullable=False),
    Index("messages_by_conversation", "customer", "workspace", "conversation_id", "created_at"),
    Index("messages_by_sender", "customer", "workspace", "sender", "created_at"),
    Index("messages_by_receiver", "customer", "workspace", "receiver", "created_at"),
)

turns = Table(
    "turns",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("customer", String(NAME), nullable=False),
    Column("workspace", String(NAME), nullable=False),
    Column("execution_id", String(ID), nullable=False),
    Column("conversation_id", String(ID), nullable=False),
    Column("one_shot", Boolean, nullable=False),
    Column("request", Text, nullable=False),
    Column("begun", Boolean, nullable=False),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("given_way", String(16)),
    Column("due_at", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("waited", Float, nullable=False, server_default="0"),
    Index("turns_by_execution", "customer", "workspace", "execution_id", unique=True),
    Index("turns_by_conversation", "customer", "workspace", "conversation_id", "sequence"),
    Index("turns_by_due_time", "due_at"),
)
"""Turns that are accepted and have not ended, in the order in which each conversation answers them. A row goes with the end of
its turn; until then the workflow of its conversation is told of it, again at `due_at`."""

executions = Table(
    "executions",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("root_id", String(ID), nullable=False),
    Column("parent_id", String(ID)),
    Column("conversation_id", String(ID), nullable=False),
    Column("message_id", String(ID), nullable=False),
    Column("reply_id", String(ID)),
    Column("fingerprint", String(DIGEST), nullable=False),
    Column("agent", String(NAME)),
    Column("agent_version", String(NAME)),
    Column("agent_digest", String(DIGEST)),
    Column("deployment_id", String(ID)),
    Column("capability", String(NAME)),
    Column("capability_version", String(NAME)),
    Column("state", String(16), nullable=False),
    Column("error", Text),
    Column("usage", Text, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("variables", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Index("executions_by_root", "customer", "workspace", "root_id"),
    Index("executions_by_conversation", "customer", "workspace", "conversation_id", "started_at"),
    Index("executions_by_state", "customer", "workspace", "state", "agent"),
    Index("executions_by_capability", "customer", "workspace", "capability", "started_at"),
    Index("executions_by_end", "customer", "workspace", "depth", "finished_at"),
)

steps = Table(
    "steps",
    metadata,
    *scope_columns(),
    Column("execution_id", String(ID), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("call", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("agent", String(NAME)),
    Column("tool", String(NAME)),
    Column("function", String(2 * NAME)),
    Column("ok", Boolean, nullable=False),
    Column("error_code", String(64)),
    Column("duration_ms", Float),
    Column("cpu_ms", Float),
    Column("fuel", BigInteger),
    Column("memory", BigInteger),
    Column("payload", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _present("steps_by_tool", "customer", "workspace", "tool", "created_at", column="tool"),
)
"""What each step of an execution brought, under the key that makes it happen once: (execution, step, call)."""

events = Table(
    "events",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("workspace", String(NAME), nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("deployment_id", String(ID)),
    Column("skill_id", String(NAME)),
    Column("skill_version", String(NAME)),
    Column("execution_id", String(ID)),
    Column("agent", String(NAME)),
    Column("risk_level", String(16)),
    Column("approval_mode", String(16)),
    Column("actor", String(NAME * 2), nullable=False),
    Column("payload", Text, nullable=False),
    Column("correlation_id", String(ID)),
    Column("conversation_id", String(ID)),
    Column("message_id", String(ID)),
    Column("channel_type", String(16)),
    Column("error_code", String(64)),
    Column("latency_ms", Float),
    Column("trace_id", String(32)),
    Column("hash", String(DIGEST), nullable=False),
    Index("events_by_id", "customer", "event_id", unique=True),
    Index("events_by_correlation", "customer", "workspace", "correlation_id", "sequence"),
    Index("events_by_conversation", "customer", "workspace", "conversation_id", "sequence"),
    _present("events_by_error", "customer", "workspace", "error_code", "sequence", column="error_code"),
)
"""The log. Triggers refuse UPDATE and DELETE; `hash` chains each row to the one before (adapters/store/chain.py)."""

event_blocks = Table(
    "event_blocks",
    metadata,
    *scope_columns(),
    Column("field", String(16), primary_key=True),
    Column("value", String(NAME * 2), primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Which values occur in which block of the log (adapters/store/event_blocks.py). Triggers refuse UPDATE and DELETE."""

event_heads = Table(
    "event_heads",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("hash", String(DIGEST), nullable=False),
)
"""The last event of each customer's log. Whoever appends holds this row, so sequences have no gaps and no forks."""

approvals = Table(
    "approvals",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("execution_id", String(ID), nullable=False),
    Column("root_id", String(ID), nullable=False),
    Column("conversation_id", String(ID), nullable=False),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("agent", String(NAME), nullable=False),
    Column("capability", String(NAME)),
    Column("action_type", String(NAME), nullable=False),
    Column("name", String(NAME * 4), nullable=False),
    Column("content", Text, nullable=False),
    Column("risk_level", String(16), nullable=False),
    Column("approval_mode", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    Column("decided_by", String(NAME * 2)),
    Column("reason", Text),
    Column("requested_by", String(NAME * 2)),
    Column("four_eyes", Boolean, nullable=False, server_default=false()),
    Column("approvals_needed", Integer, nullable=False, server_default="1"),
    Column("arguments", Text),
    Column("remembered", String(ID)),
    Index("approvals_by_state", "customer", "workspace", "state", "requested_at"),
    Index("approvals_by_execution", "customer", "workspace", "execution_id"),
)
"""Actions that wait, or waited, for a person."""

approval_votes = Table(
    "approval_votes",
    metadata,
    *scope_columns(),
    Column("approval_id", String(ID), primary_key=True),
    Column("approver", String(NAME * 2), primary_key=True),
    Column("actor", String(NAME * 2), nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("arguments", Text),
)
"""Approvers who agree with an action that takes several, or with other arguments."""

remembered_grants = Table(
    "remembered_grants",
    metadata,
    *scope_columns(),
    Column("id", String(ID), primary_key=True),
    Column("agent", String(NAME), nullable=False),
    Column("name", String(NAME * 4), nullable=False),
    Column("document", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("key_id", String(ID)),
    Index("remembered_grants_by_call", "customer", "workspace", "agent", "name", "expires_at"),
    Index("remembered_grants_by_key", "customer", "key_id"),
)
"""Calls that need no further decision for a while."""

deadlines = Table(
    "deadlines",
    metadata,
    *scope_columns(),
    Column("execution_id", String(ID), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("first_due_at", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("details", Text, nullable=False),
    Index("deadlines_by_time", "due_at"),
)
"""What is to happen at a time unless the execution ends before: pressure, breach, steps of an escalation."""

budgets = Table(
    "budgets",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("workspace", String(NAME), primary_key=True),
    Column("agent", String(NAME), primary_key=True),
    Column("resource", String(16), primary_key=True),
    Column("period", String(8), primary_key=True),
    Column("limit", Float, nullable=False),
    Column("starts_at", BigInteger, nullable=False),
    Column("used", Float, nullable=False),
    Column("warned", Boolean, nullable=False),
    Column("set_by", String(NAME * 2), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""Limits on what a customer, a workspace (agent is empty) or an agent may use, and what the running period has used."""

documents = Table(
    "documents",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("view", String(32), primary_key=True),
    Column("workspace", String(NAME), primary_key=True),
    Column("key", String(NAME * 4), primary_key=True),
    Column("document", Text, nullable=False),
)
"""Projections of the event log, as JSON documents by key. They can be dropped and are rebuilt from the log."""

document_positions = Table(
    "document_positions",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("view", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
)
"""How far each projection has read the log."""

memory_retention = Table(
    "memory_retention",
    metadata,
    *scope_columns(),
    Column("max_age", Float),
    Column("max_entities", BigInteger),
)
"""How long, and how much, a place of memory remembers."""

memory_undo = Table(
    "memory_undo",
    metadata,
    *scope_columns(),
    Column("number", Integer, primary_key=True),
    Column("operation", String(ID), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("actor", String(NAME * 2), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("digest", String(DIGEST), nullable=False),
    Column("open", Boolean, nullable=False),
)
"""The last bulk operation on each place of memory: where the memories are as they were before."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("hash", String(DIGEST), primary_key=True),
    Column("id", String(ID), nullable=False, unique=True),
    Column("customer", String(NAME), nullable=False),
    Column("name", String(NAME), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("grants", Text, nullable=False, server_default="[]"),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("rate", Float),
    Index("api_keys_by_customer", "customer"),
)
"""Keys by the SHA-256 of the key: 256 random bits need no slow hash."""

roles = Table(
    "roles",
    metadata,
    Column("customer", String(NAME), primary_key=True),
    Column("name", String(NAME), primary_key=True),
    Column("permissions", Text, nullable=False),
    Column("description", Text, nullable=False),
)
"""Roles that customers have defined: sets of permissions."""

access_changes = Table(
    "access_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
)
"""One row, which counts changes of keys and roles."""
