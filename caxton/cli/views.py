"""`caxton views list|show|rebuild`"""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.facts import facts
from caxton.cli.invocation import current
from caxton.cli.output import emit, plural, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.views.event_log import ProjectedView

app = new_app(help="Views that are made of the event log, and can be made again.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="VIEW", help="As `caxton views list` shows it.")]


@app.command("list")
def list_views() -> None:
    """Show which views there are."""
    with connect() as caxton:
        views = caxton.views()
    if current().json:
        emit({"views": views})
        return
    for line in table([[name, description] for name, description in views.items()], ["view", "what it shows"]):
        say(line)


@app.command()
def show(
    view: Name,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="One document of it.")] = None,
) -> None:
    """Show a view, caught up with the log."""
    with connect() as caxton:
        found = caxton.view(view, key)
    _show(found)


@app.command()
def rebuild(view: Name) -> None:
    """Drop a view and make it again from the log. The result is the same."""
    with connect() as caxton:
        found = caxton.rebuild_view(view)
    if current().json:
        _show(found)
        return
    prose(
        f"{found.view} was made again from {plural(found.as_of, 'event')}: {plural(len(found.documents), 'document')}"
    )


def _show(found: "ProjectedView") -> None:
    if current().json:
        emit(found)
        return
    for key, document in found.documents.items():
        say(style(key, "bold"))
        for line in facts(_without_key(document, key), indent="  "):
            say(line)
    if not found.documents:
        prose("there is nothing in it yet")
    behind = f", {plural(found.behind, 'event')} behind" if found.behind else ""
    remark(style(f"as of event {found.as_of}{behind}", "dim"))


def _without_key(document: Any, key: str) -> Any:
    """A document without what its title says already."""
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in cast("dict[str, Any]", document).items() if value != key}
