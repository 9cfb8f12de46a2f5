"""Failures as errors: which to retry and when."""

import random
import time
from typing import Any, cast

import httpx
from pydantic import ValidationError

from caxton.client.discovery import DEFAULT, KEY_VARIABLE, Connection, is_loopback
from caxton.domain.errors import CaxtonError, ErrorReport, Hint, NotAuthenticated, ServerUnreachable
from caxton.domain.extras import install_command, lacks

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_BUSY = (429, 503)


class Attempts:
    """Decides for one request whether, and after how long, it is worth another try."""

    def __init__(self, patience: float) -> None:
        """Allow tries for `patience` seconds after the first failure."""
        self.patience = patience
        self._failures = 0
        self._since = 0.0
        self._was_connected = False

    def succeeded(self) -> None:
        """The server answered: patience starts over."""
        self._failures = 0
        self._was_connected = True

    def after_loss(self, error: httpx.HTTPError | None) -> float | None:
        """Seconds to wait after the connection was lost; None to give up.

        Where nobody listens in the first place no try is worth waiting for. A server that was there comes back.
        """
        if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
            return None
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)) and not self._was_connected:
            return None
        self._was_connected = True
        return self._next()

    def after_refusal(self, response: httpx.Response) -> float | None:
        """Seconds that a busy server asks to wait; None to take its answer as it is."""
        self._was_connected = True
        wait = retry_after(response)
        if response.status_code not in _BUSY or wait is None or _is_settled(response):
            return None
        pause = self._next()
        return None if pause is None or wait > self._left() else max(wait, pause)

    def _next(self) -> float | None:
        if self._failures == 0:
            self._since = time.monotonic()
        elif self._left() <= 0:
            return None
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._failures += 1
        return pause * random.uniform(0.75, 1.25)

    def _left(self) -> float:
        return self.patience - (time.monotonic() - self._since)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of the Retry-After header, if it has a number."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _is_settled(response: httpx.Response) -> bool:
    """True if the answer is of a turn that has ended: the same key would give the same answer."""
    report = _report(response)
    return report is not None and "execution_id" in report.details


def error_of(response: httpx.Response, connection: Connection) -> CaxtonError:
    """The error that an answer stands for."""
    report = _report(response)
    if report is None:
        return _not_caxton(response, connection)
    error = CaxtonError.from_report(report)
    if isinstance(error, NotAuthenticated):
        if connection.key_from == KEY_VARIABLE:
            error.with_hint(f"the key came from {KEY_VARIABLE}")
        elif connection.key_from:
            error.with_hint(f"the key came from {connection.key_from}; another one can be set in {KEY_VARIABLE}")
        elif connection.is_of_folder and is_loopback(connection.url):
            error.with_hint(
                f"the admin key of this machine is not sent to an address that only {connection.url_from} names; "
                f"name it yourself with --url or CAXTON_URL, or set a key in {KEY_VARIABLE}"
            )
        else:
            error.with_hint(f"no key was found to send; set one in {KEY_VARIABLE}")
    return error


def _how_to_start() -> Hint:
    if lacks("server"):  # this is a client: the command would not work
        return Hint(text="name the server with --url or CAXTON_URL, or install one", command=install_command("server"))
    return Hint(text="start it", command="caxton serve")


def unreachable(connection: Connection, error: Exception | None) -> ServerUnreachable:
    """The error for a server that does not answer."""
    local = is_loopback(connection.url)
    hints = [_how_to_start()] if local else []
    origin = [] if connection.url_from == DEFAULT else [Hint(text=f"the address came from {connection.url_from}")]
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return ServerUnreachable(
            f'"{connection.url}" is not the address of a server',
            "write it as a browser has it: http://127.0.0.1:8080",
            *origin,
            details={"url": connection.url},
        )
    hints += origin
    happened = "took too long to answer" if isinstance(error, httpx.ReadTimeout) else "does not answer"
    return ServerUnreachable(
        f"the Caxton server at {connection.url} {happened}",
        *hints,
        reason=None if isinstance(error, httpx.ConnectError) and local else _technical(error),
        details={"url": connection.url},
    )


def _technical(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ") if error else "the connection ended"


def _report(response: httpx.Response) -> ErrorReport | None:
    """The problem details (RFC 9457) of an answer."""
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    problem = cast("dict[str, Any]", body)
    if "code" not in problem:
        return None
    problem = {"message": problem.get("detail") or problem.get("title") or "the server reported an error", **problem}
    problem.setdefault("retry_after", retry_after(response))
    try:
        report = ErrorReport.model_validate(problem)
    except ValidationError:
        return None
    if problem.get("request_id"):
        report.details.setdefault("request_id", problem["request_id"])
    return report


def _not_caxton(response: httpx.Response, connection: Connection) -> ServerUnreachable:
    return ServerUnreachable(
        f"what answers at {connection.url} is not a Caxton server, or a proxy that fails (HTTP {response.status_code})",
        f"the address came from {connection.url_from}",
        details={"url": connection.url, "status": response.status_code},
    )
