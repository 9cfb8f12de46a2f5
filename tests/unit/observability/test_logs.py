"""Logs: one line an event, with ids, without contents."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from caxton.domain.errors import ToolTimeout
from caxton.observability.core_logs import CoreFilter
from caxton.observability.logs import REQUEST_ID, configure_logging
from caxton.observability.tracing import server_span

log = logging.getLogger("caxton.test")

WRITTEN = "my secret plan"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Puts logging back as pytest has set it up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in list(root.manager.loggerDict)}
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in list(root.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was written, as a log collector reads it."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.requirement("ADM-6")
def test_a_pipe_gets_json_with_the_ids_of_request_and_trace() -> None:
    stream = io.StringIO()
    configure_logging("info", "auto", stream)
    token = REQUEST_ID.set("r-1")
    with server_span("POST") as span:
        log.info(
            "agent %s was loaded", "analyst", extra={"execution_id": "x_1", "agent": "analyst", "customer": "acme"}
        )
    REQUEST_ID.reset(token)
    log.debug("not shown")
    [line] = lines(stream)
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert len(line.pop("span_id")) == 16
    assert line == {
        "level": "info",
        "logger": "caxton.test",
        "message": "agent analyst was loaded",
        "trace_id": span.trace_id,
        "request_id": "r-1",
        "execution_id": "x_1",
        "agent": "analyst",
    }


def test_a_terminal_gets_readable_lines_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logging("info", "auto", stream)
    log.warning("disk is nearly full", extra={"component": "store"})
    assert stream.getvalue().startswith("\033[33m")
    assert "warning disk is nearly full  (component=store)" in stream.getvalue()


@pytest.mark.parametrize("variable", ["1", "yes"])
def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    stream = Terminal()
    configure_logging("info", "auto", stream)
    log.error("failed")
    assert "\033" not in stream.getvalue()


def test_the_format_can_be_chosen() -> None:
    stream = Terminal()
    configure_logging("debug", "json", stream)
    log.debug("shown")
    assert lines(stream)[0]["level"] == "debug"
    pipe = io.StringIO()
    configure_logging("info", "text", pipe)
    log.info("shown")
    assert pipe.getvalue().endswith("info    shown\n")


@pytest.mark.requirement("ADM-6")
def test_no_text_can_forge_a_line_or_move_the_cursor() -> None:
    stream = io.StringIO()
    configure_logging("info", "text", stream)
    log.info("asked for %s", "x\n12:00:00 info    all is well\x1b[2J\r", extra={"agent": "a\nb"})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


@pytest.mark.requirement("ADM-6")
def test_an_exception_shows_where_and_what_kind_but_not_what_it_quotes() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        try:
            raise ValueError(WRITTEN)
        except ValueError as cause:
            raise ToolTimeout('tool "slow" ran out of time') from cause
    except ToolTimeout:
        log.exception("a call failed")
    [line] = lines(stream)
    assert WRITTEN not in stream.getvalue()
    assert "test_logs.py" in line["exception"]
    assert line["exception"].count("because of:") == 1
    assert 'ToolTimeout: tool "slow" ran out of time' in line["exception"]
    assert line["exception"].endswith("ValueError")


def test_groups_and_operating_system_errors_are_explained() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    for error in (OSError(28, "No space left on device", "/data/secret"), ExceptionGroup("g", [ValueError("secret")])):
        log.error("failed", exc_info=error)
    first, second = lines(stream)
    assert first["exception"] == "OSError: No space left on device"
    assert second["exception"] == "ExceptionGroup of ValueError"


@pytest.mark.requirement("ADM-6")
def test_a_lost_task_is_told_of_without_its_exception() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logging.getLogger("asyncio").error(
        "Task exception was never retrieved\nfuture: <Task exception=ValueError('plan')>"
    )
    assert lines(stream)[0]["message"] == "Task exception was never retrieved"


def test_very_long_messages_are_cut() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    log.info("x" * 1_000_000, extra={"error": "y" * 1_000})
    [line] = lines(stream)
    assert line["message"] == f"{'x' * 2_000}… (1000000 characters)"
    assert line["error"] == f"{'y' * 200}… (1000 characters)"


@pytest.mark.requirement("ADM-6")
def test_arguments_that_do_not_fit_are_not_printed_instead() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    log.info("two %s %s", "my secret plan")  # noqa: PLE1206 - that is the point
    assert lines(stream)[0]["message"] == "two %s %s (its arguments do not fit)"


@pytest.mark.requirement("ADM-6")
def test_libraries_do_not_debug() -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    logging.getLogger("openai._base_client").debug("Request options: %s", WRITTEN)
    log.debug("shown")
    assert [line["message"] for line in lines(stream)] == ["shown"]


def test_loggers_of_libraries_come_along_and_stay_quiet() -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    configure_logging("info", "json", stream)
    logging.getLogger("uvicorn.access").info("GET /v1/agents?key=1")
    logging.getLogger("httpx").info("HTTP Request: GET https://example.com/?key=1")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["logger"] for line in lines(stream)] == ["uvicorn.error"]


def test_warnings_of_python_are_logged() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("this will go away", UserWarning, stacklevel=1)
    assert any("this will go away" in line["message"] for line in lines(stream))


@pytest.mark.requirement("ADM-6")
def test_the_engines_core_cannot_log_a_history() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    core = logging.getLogger("temporalio.core")
    core.addFilter(only := CoreFilter())
    dump = 'Activation failed History { events: [Payload { data: "what my client wrote" }] }'
    fields = {
        "run_id": "0-1",
        "error": 'Status { code: Unavailable, message: "what my client wrote" }',
        "failure": "Failure { what my client wrote }",
    }
    try:
        for entry in (SimpleNamespace(message=dump, fields=fields), SimpleNamespace(message="x" * 5000, fields={})):
            record = core.makeRecord(
                core.name, logging.ERROR, "", 0, entry.message, (), None, "", {"temporal_log": entry}
            )
            core.handle(record)
    finally:
        core.removeFilter(only)
    assert "what my client wrote" not in stream.getvalue()
    first, second = lines(stream)
    assert first["message"] == "Activation failed History … (run_id=0-1 error=Unavailable)"
    assert len(second["message"]) < 400
