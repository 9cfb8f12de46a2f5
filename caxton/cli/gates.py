"""`caxton deploy --gate`: waits until the gates of new versions are decided, and says so by its exit code."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import prose

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.deployments import Change
    from caxton.views.rollouts import RolloutView

POLL_INTERVAL = 0.5
"""Seconds between looks."""


def await_gates(caxton: "Caxton", changes: "Iterable[Change]") -> "list[RolloutView]":
    """Waits for the gates of all `changes`; what has none is not waited for. Shows each as soon as it is decided."""
    from caxton.cli.rollouts import show_rollout

    decided: list[RolloutView] = []
    for change in changes:
        if change.rollout is None:
            if change.kind == "agent" and change.action == "new" and not current().json:
                prose(
                    f"{change.name} is new: there is no version before it to compare with, so it is live without a gate."
                )
            continue
        if not current().json:
            prose(f"Waiting for the gates of {change.name} …")
        found = caxton.rollout(change.rollout)
        while str(found.state) == "Gating":
            time.sleep(POLL_INTERVAL)
            found = caxton.rollout(change.rollout)
        decided.append(found)
        if not current().json:
            show_rollout(found)
    return decided


def check_gates(rollouts: "Iterable[RolloutView]") -> None:
    """Whether all gates were passed.

    Raises:
        GateFailed: one was not, or somebody ended the rollout meanwhile.
    """
    from caxton.domain.errors import GateFailed, Hint

    failed = [each for each in rollouts if str(each.state) in ("RolledBack", "Superseded")]
    if not failed:
        return
    names = ", ".join(f"{each.agent} {each.candidate_version}" for each in failed)
    raise GateFailed(
        f"{names} did not pass; the version before is live: {failed[0].reason}",
        Hint(text="see each difference", command=f"caxton rollout status {failed[0].agent}"),
        Hint(text="mend it and deploy again", command="caxton deploy --gate"),
        details={"rollouts": [each.id for each in failed]},
    )
