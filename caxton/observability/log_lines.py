"""What a log line says: time, level, logger, message, the ids of request and trace, and some known facts."""

import logging
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, cast

from caxton.domain.errors import CaxtonError
from caxton.domain.json_text import json_line
from caxton.observability.redaction import MESSAGE_LIMIT, redact
from caxton.observability.trace_context import current_trace

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The HTTP request that the running code works for."""

FACTS = (
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
"""What a line may carry besides its message, given as `extra`. Anything else is left out: it might hold contents."""

FACT_LIMIT = 200
"""Characters of one fact."""

TRACEBACK_LIMIT = 8_000
"""Characters of a traceback."""

_COLOURS = {"DEBUG": "\033[2m", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31;1m"}

_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))} | {10: "\\n", 9: "\\t"}
"""Written out, so that no text can move the cursor or begin a line of its own."""


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
            **facts_of(record),
        }
        raised = traceback_of(record)
        if raised:
            line["exception"] = raised
        return json_line(line)


class TextFormatter(logging.Formatter):
    """A line for people."""

    def __init__(self, *, colour: bool) -> None:
        """Write with or without colours."""
        super().__init__()
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        shown = (f"{key}={value}" for key, value in facts_of(record).items() if key != "span_id")
        facts = " ".join(shown).translate(_CONTROLS)
        message = message_of(record).translate(_CONTROLS)
        text = f"{time} {record.levelname.lower():7} {message}" + (f"  ({facts})" if facts else "")
        raised = traceback_of(record)
        if raised:
            text += f"\n{raised}"
        colour = _COLOURS.get(record.levelname)
        return f"{colour}{text}\033[0m" if self.colour and colour else text


def message_of(record: logging.LogRecord) -> str:
    """The message, redacted and cut."""
    try:
        message = record.getMessage()
    except Exception:
        # Logging itself would print message and arguments as they are.
        message = f"{record.msg} (its arguments do not fit)"
    if record.name == "asyncio":
        # What follows is the repr of a task, with that of its exception.
        message = message.partition("\n")[0]
    return redact(message, MESSAGE_LIMIT)


def facts_of(record: logging.LogRecord) -> dict[str, str]:
    """Ids and known facts, in a fixed order."""
    facts: dict[str, str] = {}
    trace_id, span_id = current_trace()
    if trace_id and span_id:
        facts = {"trace_id": trace_id, "span_id": span_id}
    request_id = REQUEST_ID.get()
    if request_id:
        facts["request_id"] = request_id
    for name in FACTS:
        value = record.__dict__.get(name)
        if value is not None:
            facts[name] = redact(str(value), FACT_LIMIT)
    return facts


def traceback_of(record: logging.LogRecord) -> str:
    """Where an exception came from and what kind it is; its text only if it is one that never quotes what users wrote."""
    error = record.exc_info[1] if record.exc_info else None
    blocks: list[str] = []
    while error is not None and len(blocks) < 5:
        places = "".join(traceback.format_tb(error.__traceback__))
        blocks.append(f"{places}{_kind(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return redact("\n\nbecause of:\n".join(blocks), TRACEBACK_LIMIT)


def _kind(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, CaxtonError):
        return f"{name}: {error.message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return f"{name} of {', '.join(sorted({type(each).__qualname__ for each in group.exceptions}))}"
    return name
