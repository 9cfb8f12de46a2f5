"""Logs: JSON lines in a pipe, readable lines on a terminal; with trace ids, without prompts and secrets."""

import json
import logging
import os
import re
import sys
import warnings
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TextIO

from caxton.observability.trace_context import current_trace

if TYPE_CHECKING:
    from temporalio.runtime import Runtime

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The HTTP request that the running code works for."""

EXTRAS = (
    "request_id",
    "execution_id",
    "conversation_id",
    "deployment_id",
    "agent",
    "tool",
    "step",
    "error",
    "error_code",
    "where",
    "component",
)
"""Facts that a log line may carry besides its message; whatever else is passed as `extra` is left out."""

MESSAGE_LIMIT = 2_000
"""Characters of a message; the engine's core may log a whole history with all that it contains."""

CORE_LIMIT = 300
"""Characters of a message of the engine's core."""

SECRET = re.compile(
    r"(?i)(\bcx_[A-Za-z0-9_-]{8,}|\bsk-[A-Za-z0-9_-]{8,}|\bbearer\s+[^\s\"',;]+|\bbasic\s+[A-Za-z0-9+/=]{8,}"
    r"|(?<=authorization)[\"']?\s*[:=]\s*[^\s,;]+"
    r"|(?<=api[_-]key)[\"']?\s*[:=]\s*[^\s,;]+|(?<=password)[\"']?\s*[:=]\s*[^\s,;]+|(?<=token)[\"']?\s*[:=]\s*[^\s,;]+)"
)

COLOURS = {"DEBUG": "\033[2m", "INFO": "", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31;1m"}


def redact(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` without what looks like a secret, and cut at `limit` characters."""
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
    return SECRET.sub("[redacted]", cut)


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says besides time, level, logger and message."""
    facts: dict[str, Any] = {}
    trace_id, span_id = current_trace()
    if trace_id:
        facts["trace_id"] = trace_id
        facts["span_id"] = span_id
    request_id = REQUEST_ID.get()
    if request_id:
        facts["request_id"] = request_id
    for name in EXTRAS:
        value = record.__dict__.get(name)
        if value is not None:
            facts[name] = redact(str(value), 200)
    return facts


def message_of(record: logging.LogRecord) -> str:
    """The line's message, redacted."""
    limit = CORE_LIMIT if record.name.startswith("temporalio.core") else MESSAGE_LIMIT
    return redact(record.getMessage(), limit)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
            **facts_of(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact(_traceback(record), 8_000)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people."""

    def __init__(self, *, colour: bool) -> None:
        """Write with or without colours."""
        super().__init__()
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        facts = " ".join(f"{key}={value}" for key, value in facts_of(record).items() if key != "span_id")
        text = f"{time} {record.levelname.lower():7} {message_of(record)}" + (f"  ({facts})" if facts else "")
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + redact(_traceback(record), 8_000)
        colour = COLOURS.get(record.levelname, "")
        return f"{colour}{text}\033[0m" if self.colour and colour else text


def _traceback(record: logging.LogRecord) -> str:
    """Where the exception came from and what kind it is; not its text, which may quote what users wrote."""
    import traceback

    assert record.exc_info is not None
    kind, _, trace = record.exc_info
    places = "".join(traceback.format_tb(trace))
    return f"{places}{kind.__name__ if kind else 'Exception'}"


def configure_logging(
    level: str = "info", format: Literal["auto", "json", "text"] = "auto", stream: TextIO | None = None
) -> None:
    """Sends all logs of this process to `stream` (stderr).

    Args:
        level: debug, info, warning or error.
        format: auto is text on a terminal, JSON lines elsewhere.
        stream: where to.
    """
    target = stream or sys.stderr
    terminal = target.isatty()
    as_text = format == "text" or (format == "auto" and terminal)
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        TextFormatter(colour=terminal and "NO_COLOR" not in os.environ) if as_text else JsonFormatter()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "temporalio"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # These tell of every request or poll; what matters of them is counted in metrics.
    for name in ("httpx", "httpx2", "httpcore", "uvicorn.access", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    # The core warns about every poll that an engine which restarts does not answer.
    logging.getLogger("temporalio.core").setLevel(max(logging.ERROR, root.level))
    logging.captureWarnings(True)
    warnings.simplefilter("default" if level == "debug" else "ignore")


@lru_cache(maxsize=1)
def core_runtime() -> "Runtime":
    """Temporal's runtime, with the logs of its core forwarded here, where they are cut and redacted."""
    from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    logs = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    return Runtime(telemetry=TelemetryConfig(logging=logs))
