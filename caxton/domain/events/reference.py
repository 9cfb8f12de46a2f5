"""Writes docs/reference/events.md from the catalogue: `python -m caxton.domain.events.reference`."""

from pathlib import Path
from typing import Any

from caxton.domain.events import CATALOGUE, Event, Payload
from caxton.domain.events.chain import FIELDS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "events.md"

INTRODUCTION = """\
# Events

<!-- Made by `python -m caxton.domain.events.reference`; do not edit. -->

Every event travels in the same envelope; its payload depends on its type. How to read, follow, verify and export them stands
in [The event log](../how-to/event-log.md). The log never holds what a user or a model wrote: messages, arguments and results
are named by hash and size.

A reader must expect fields and types that it does not know. A payload that changes otherwise than by optional fields gets a
new `schema_version`; older events keep theirs.
"""

CHAIN = f"""\
## The chain

`hash` of an event is `SHA-256(hash of the event before + canonical)`, in lower-case hexadecimal; before the first event it is
64 zeros. `canonical` is a JSON array, ASCII only and without spaces, of the values of these columns, in this order:

{", ".join(f"`{name}`" for name in FIELDS)}

`timestamp` is in microseconds since the epoch, `payload` is JSON text (ASCII, without spaces, keys sorted), what is absent is
`null`. Each customer has a chain of its own, over all workspaces. `caxton events export --everything` writes it whole, and
`caxton events verify --file` checks it without any server.
"""


def render() -> str:
    """The page."""
    envelope = "\n".join(_field(name, Event) for name in Event.model_fields)
    parts = [INTRODUCTION, f"## Envelope\n\n| field | type |\n|---|---|\n{envelope}\n", CHAIN]
    for category in sorted({model.category for model in CATALOGUE.values()}):
        parts.append(f"## Category: {category}\n")
        parts += [_section(name, model) for name, model in CATALOGUE.items() if model.category == category]
    return "\n".join(parts)


def _section(name: str, model: type[Payload]) -> str:
    reserved = f"\n\nNot emitted yet: belongs to {model.reserved}." if model.reserved else ""
    text = " ".join((model.__doc__ or "").split())
    rows = "\n".join(_field(field, model) for field in model.model_fields)
    table = f"\n\n| field | type |\n|---|---|\n{rows}" if rows else ""
    return f"### {name}\n\n{text}{reserved}{table}\n"


def _field(name: str, model: Any) -> str:
    info = model.model_fields[name]
    shown = info.serialization_alias or name
    kind = str(info.annotation)
    if isinstance(info.annotation, type) and "[" not in kind:
        kind = info.annotation.__name__
    for long in ("typing.", "caxton.domain.governance.", "caxton.domain.ids.", "datetime."):
        kind = kind.replace(long, "")
    kind = kind.replace("|", "\\|")
    optional = "" if info.is_required() else " (optional)"
    return f"| `{shown}` | {kind}{optional} |"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
