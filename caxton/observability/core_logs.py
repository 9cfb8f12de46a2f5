"""Logs of Temporal's Rust core, brought into ours.

The core may log a whole workflow history, with all that it contains: after the engine was killed, for example. So a line of it
is cut where a dump begins, and of its fields only those that are ids stay.
"""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from caxton.observability.redaction import redact

if TYPE_CHECKING:
    from temporalio.runtime import Runtime

CORE_LOGGER = "temporalio.core"

CORE_LIMIT = 300
"""Characters of a message of the core."""

_FIELDS = ("run_id", "workflow_id", "task_queue", "namespace")


class CoreFilter(logging.Filter):
    """Leaves of a line of the core what is safe."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the message; lets every line through."""
        entry: Any = record.__dict__.pop("temporal_log", None)
        message = entry.message if entry is not None else record.getMessage()
        record.msg = without_dump(message)
        record.args = ()
        fields = _fields(entry)
        kept = [f"{name}={fields[name]}" for name in _FIELDS if name in fields]
        error = fields.get("error")
        if error is not None:
            kept.append(f"error={_status(str(error))}")
        if kept:
            record.msg = f"{record.msg} ({' '.join(kept)})"
        return True


def without_dump(message: str) -> str:
    """`message` up to where it begins to dump a structure: Rust writes `Name { field: …`, lists as `[…`."""
    ends = [at for at in (message.find(mark) for mark in ("{", "[", "(Payload", 'data: "')) if at >= 0]
    text = message[: min(ends)] + "…" if ends else message
    return redact(text.strip(), CORE_LIMIT)


@lru_cache(maxsize=1)
def core_runtime() -> "Runtime":
    """Temporal's runtime to use for every client: its core logs to our logging, and nowhere else."""
    from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

    logger = logging.getLogger(CORE_LOGGER)
    logger.addFilter(CoreFilter())
    forwarding = LogForwardingConfig(logger=logger, prepend_target_on_message=False, append_log_fields_to_message=False)
    logs = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    return Runtime(telemetry=TelemetryConfig(logging=logs))


def _fields(entry: Any) -> dict[str, Any]:
    try:
        return dict(entry.fields) if entry is not None else {}
    except Exception:  # temporalio documents that the conversion may fail
        return {}


def _status(error: str) -> str:
    """A gRPC status by its code; of anything else the beginning."""
    if error.startswith("Status {"):
        code = error.partition("code: ")[2].partition(",")[0].strip(" '\"")
        return redact(code, 60)
    return without_dump(error)[:100]
