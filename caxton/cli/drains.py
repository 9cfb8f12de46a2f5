"""Versions that were replaced and have work in progress, as other commands show them."""

from typing import TYPE_CHECKING

from caxton.cli.output import ago, plural, prose, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.views.drains import DrainView


def draining(caxton: "Caxton", deployment_id: str | None = None) -> "list[DrainView]":
    """Versions that drain, for whoever may see them."""
    from caxton.domain.errors import NotFound, NotPermitted

    try:
        return caxton.drains(deployment_id)
    except (NotFound, NotPermitted):  # an older server, another role
        return []


def in_hand_words(drain: "DrainView") -> str:
    """What a version has in progress: "2 turns, 1 conversation"."""
    counts = [(drain.turns, "turn"), (drain.conversations, "conversation"), (drain.calls, "call")]
    return ", ".join(plural(count, word) for count, word in counts if count)


def show_drains_of(drains: "list[DrainView]") -> None:
    """Old versions of one agent or tool that are not done, a line each."""
    for each in drains:
        prose(style(f"  {each.version} drains: {in_hand_words(each)}, since {ago(each.since)}", "yellow"))


def show_drains(drains: "list[DrainView]") -> None:
    """All of them; nothing where there are none."""
    if not drains:
        return
    say()
    say("Old versions that finish what they have in progress")
    rows = [
        [f"{each.kind} {each.name}", each.version, in_hand_words(each), f"since {ago(each.since)}"] for each in drains
    ]
    for line in table(rows, indent="  "):
        say(line)
