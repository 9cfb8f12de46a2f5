"""Ctrl-C while the server works. It takes nothing back that the server has begun, so commands say what became of it."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caxton.cli.output import complain
from caxton.domain.errors import CaxtonError, ErrorReport, NotFound, ServerUnreachable

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.deployments import Deployment, DeploymentRequest

ARRIVES_WITHIN = 2.0
"""Seconds in which a request that was on its way when Ctrl-C came shows at the server, or never will."""

POLL_INTERVAL = 0.2


@contextmanager
def told_if_interrupted(text: str) -> Generator[None]:
    """Tells `text` if Ctrl-C ends what stands below, before the command ends."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(text)
        raise


def deploy(caxton: "Caxton", request: "DeploymentRequest") -> "tuple[Deployment, bool]":
    """Deploys, and says whether Ctrl-C came meanwhile: the deployment is then live all the same.

    Raises:
        KeyboardInterrupt: Ctrl-C came, and the server has not begun, or was left alone with it; its notes say which.
        CaxtonError: the deployment failed.
    """
    from caxton.domain.deployments import deployment_id
    from caxton.domain.ids import new_id

    key = new_id("i")
    try:
        return caxton.deploy(request, idempotency_key=key), False
    except KeyboardInterrupt as stop:
        with _asking(stop, "deployment"):
            server = caxton.server()
            identity = deployment_id(server.customer or "", caxton.connection.workspace, key)
            return _outcome(stop, lambda: caxton.deployment(identity), "deployment"), True


def rollback(caxton: "Caxton", target: str) -> "tuple[Deployment, bool]":
    """Rolls `target` back; otherwise like :func:`deploy`."""
    try:
        return caxton.rollback(target), False
    except KeyboardInterrupt as stop:
        with _asking(stop, "rollback"):
            return _outcome(stop, lambda: _latest_rollback(caxton, target), "rollback"), True


def _latest_rollback(caxton: "Caxton", target: str) -> "Deployment":
    for found in caxton.deployments(5):
        if found.rollback_of == target:
            return found
    raise NotFound("it has not begun")


@contextmanager
def _asking(stop: KeyboardInterrupt, what: str) -> Generator[None]:
    """Asks the server what became of it; a second Ctrl-C, or a server that is away, ends that."""
    try:
        complain(f"Interrupted. Asking the server what became of the {what} … (Ctrl-C again leaves it alone)")
        yield
    except KeyboardInterrupt as again:
        if again is not stop:
            stop.add_note(f"The {what} may go on without you. See: caxton deployments")
        raise stop from None
    except ServerUnreachable:
        stop.add_note(f"The server does not answer, so the {what} may have happened or not. See: caxton deployments")
        raise stop from None


def _outcome(stop: KeyboardInterrupt, find: "Callable[[], Deployment]", what: str) -> "Deployment":
    """What `find` finds once it has ended.

    Raises:
        KeyboardInterrupt: `stop`, for nothing of it came to the server.
        CaxtonError: it failed.
    """
    from caxton.domain.deployments import UNFINISHED, DeploymentState

    deadline = time.monotonic() + ARRIVES_WITHIN
    while True:
        try:
            found = find()
        except NotFound:
            if time.monotonic() > deadline:
                stop.add_note(f"Nothing was changed: the {what} had not begun.")
                raise stop from None
        else:
            if found.state is DeploymentState.FAILED and found.error:
                raise CaxtonError.from_report(ErrorReport.model_validate(found.error))
            if found.state not in UNFINISHED:
                return found
        time.sleep(POLL_INTERVAL)
