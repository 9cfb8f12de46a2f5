"""Logs: JSON lines in a pipe, readable lines on a terminal; with trace ids, without prompts and secrets."""

import asyncio
import logging
import os
import sys
from typing import Literal, TextIO

from caxton.observability.core_logs import CORE_LOGGER, core_runtime
from caxton.observability.log_lines import REQUEST_ID, JsonFormatter, TextFormatter
from caxton.observability.redaction import redact

__all__ = ["REQUEST_ID", "configure_logging", "core_runtime", "redact"]

_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "py.warnings")
"""Loggers that may have brought handlers of their own."""

_FROM_WARNING = (
    "httpx",
    "httpx2",
    "httpcore",
    "alembic",
    "asyncio",
    "uvicorn.error",
    "uvicorn.access",
    "temporalio.worker",
)
"""Loggers that tell of every request or every step of a start; metrics count what matters of that."""

_FROM_ERROR = (CORE_LOGGER, "opentelemetry")
"""Loggers that warn of every attempt to reach an engine or a collector that restarts."""


class _WithoutCancellations(logging.Filter):
    """Drops what a server says of requests that are cut off when it stops: it is not an error of theirs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told."""
        return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


_WITHOUT_CANCELLATIONS = _WithoutCancellations()


def configure_logging(
    level: str = "info", format: Literal["auto", "json", "text"] = "auto", stream: TextIO | None = None
) -> None:
    """Sends all logs of this process to one place, and Python's warnings with them.

    Args:
        level: debug, info, warning or error; libraries say nothing below info.
        format: auto is text on a terminal and JSON lines elsewhere.
        stream: where to; stderr if None.
    """
    target = stream or sys.stderr
    terminal = target.isatty()
    handler = logging.StreamHandler(target)
    if format == "text" or (format == "auto" and terminal):
        # https://no-color.org: set and not empty
        handler.setFormatter(TextFormatter(colour=terminal and not os.environ.get("NO_COLOR")))
    else:
        handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("caxton").setLevel(level.upper())
    # Libraries stay at info: when they debug, they print requests and results as they are.
    root.setLevel(max(logging.INFO, logging.getLogger("caxton").level))
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for names, least in ((_FROM_WARNING, logging.WARNING), (_FROM_ERROR, logging.ERROR)):
        for name in names:
            logging.getLogger(name).setLevel(max(least, root.level))
    logging.getLogger("uvicorn.error").addFilter(_WITHOUT_CANCELLATIONS)  # the same one again is not added
    logging.captureWarnings(True)
