"""`caxton init`"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import complain, emit, is_terminal, plural, prose, remark, style

if TYPE_CHECKING:
    from caxton.definitions.templates import Template

app = new_app()


def complete_template(incomplete: str) -> list[str]:
    """Names of templates."""
    from caxton.definitions.templates import list_templates

    return [template.id for template in list_templates() if template.id.startswith(incomplete)]


@app.command()
def init(
    name: Annotated[str | None, typer.Argument(help="What the agent is called.")] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template", "-t", metavar="TEMPLATE", help="Which template; see --list.", autocompletion=complete_template
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: task-automator, unless --template.")] = False,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A value of the template; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files of the same name.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List the templates, and create nothing.")] = False,
    filter_text: Annotated[str, typer.Option("--filter", metavar="TEXT", help="Only templates with these words.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Preview the files, and create nothing.")] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Make this folder a workspace, without an agent.")] = False,
) -> None:
    """Create an agent from a template, in this workspace or, without one, in a new one here.

    On a terminal without --template the gallery opens: type to filter, → to preview, Enter to take. With --empty only the
    workspace is made, for agents that you write yourself.
    """
    from caxton.cli.outbox import keep
    from caxton.definitions import templates
    from caxton.definitions.suggestions import check_name
    from caxton.domain.errors import CaxtonError

    if empty:
        _make_empty(name, template)
        return
    if list_all:
        found = templates.search(filter_text)
        emit({"templates": found}) if current().json else _list(found, filter_text)
        return
    asks = is_terminal() and not yes and not current().json
    if asks and name is not None:
        check_name(name, "an agent")
    chosen = _chosen_template(template, filter_text, asks=asks, needed=not yes)
    if preview:
        shown = templates.preview(chosen.id, name)
        emit(shown) if current().json else _preview(shown)
        return
    customisations = _pairs(values or [])
    if asks:
        from caxton.cli import gallery

        name = name or gallery.ask_name(chosen.id)
        customisations = (
            {**gallery.ask_customisations(chosen), **customisations} if template is None else customisations
        )
    folder = _workspace_folder()
    began = time.perf_counter()
    is_new = not (folder / "caxton.toml").exists()
    try:
        written = templates.instantiate(chosen.id, name or chosen.id, folder, customisations, force=force)
    except CaxtonError as error:
        hints = [hint.text for hint in error.hints]
        keep(folder, "initialization_failed", reason=error.code, user_message=error.message, suggested_actions=hints)
        raise
    _keep_events(chosen, name or chosen.id, folder, written, customisations, is_new=is_new, began=began)
    _tell(chosen, name or chosen.id, folder, written)


def _make_empty(name: str | None, template: str | None) -> None:
    """Makes the current folder a workspace; one that is one stays as it is.

    Raises:
        UsageError: an agent is named as well.
    """
    from caxton.cli.outbox import keep
    from caxton.definitions.new_workspace import make_workspace
    from caxton.definitions.workspace import WORKSPACE_FILE, load_workspace
    from caxton.domain.errors import UsageError

    if name is not None or template is not None:
        raise UsageError("--empty makes a workspace without an agent", "leave --empty out, or the agent")
    here = Path.cwd()
    is_new = not (here / WORKSPACE_FILE).exists()
    around = None if not is_new else _workspace_folder()
    written = make_workspace(here)
    workspace = load_workspace(here).name
    if is_new:
        keep(here, "quickstart_initiated", user_type="FirstTime", selected_path="Empty")
    if current().json:
        emit({"workspace": str(here), "name": workspace, "files": [str(path) for path in written]})
        return
    if is_new:
        prose(f'{style("✓", "green")} {WORKSPACE_FILE}: this folder is the workspace "{workspace}"')
    else:
        prose(f'{WORKSPACE_FILE} is there already: this folder is the workspace "{workspace}"')
    if around is not None and around.resolve() != here.resolve():
        prose(f"It lies in the workspace {around}, and is no longer a part of it.")
    remark(
        f"Next: write agents/NAME.toml, or {style('caxton init NAME', 'bold')}; then {style('caxton deploy', 'bold')}"
    )


def _chosen_template(named: str | None, filter_text: str, *, asks: bool, needed: bool) -> "Template":
    """The template that is named, or chosen in the gallery, or the default one.

    Raises:
        UsageError: none is named, and there is nobody to ask.
        NotFound: there is no template of that name, or none that fits the filter.
    """
    from caxton.definitions import templates
    from caxton.domain.errors import Hint, NotFound, UsageError

    if named is not None:
        return templates.get_template(named)
    found = templates.search(filter_text)
    if not found:
        raise NotFound(f'no template fits "{filter_text}"', Hint(text="see all", command="caxton init --list"))
    if asks:
        from caxton.cli import gallery

        return templates.get_template(gallery.choose(found, found[0].id))
    if needed:
        raise UsageError(
            "which template?",
            Hint(text="take the default one", command="caxton init NAME --yes"),
            Hint(text="or name one of those that this lists", command="caxton init --list"),
        )
    return found[0]


def _keep_events(
    chosen: "Template",
    name: str,
    folder: Path,
    written: Sequence[Path],
    customisations: dict[str, Any],
    *,
    is_new: bool,
    began: float,
) -> None:
    """Events of these first steps, for the server that will be deployed to. Values of customisations are not told."""
    from caxton.cli.outbox import keep

    files = [str(path) for path in written][:50]
    took = round((time.perf_counter() - began) * 1000, 1)
    if is_new:
        keep(folder, "quickstart_initiated", user_type="FirstTime", selected_path="Template")
    keep(folder, "template_selected", template_id=chosen.id, template_name=chosen.name, category_name=chosen.category)
    keep(folder, "agent_initialized", agent_name=name, template_used=chosen.id, files_created=files)
    keep(
        folder,
        "agent_created_from_template",
        agent_name=name,
        template_id=chosen.id,
        template_name=chosen.name,
        customizations_applied=dict.fromkeys(customisations, True),
        files_generated=files,
        creation_time_ms=took,
    )


def _workspace_folder() -> Path:
    from caxton.definitions.workspace import find_workspace
    from caxton.domain.errors import NotFound

    try:
        return find_workspace(Path.cwd())
    except NotFound:
        return Path.cwd()


def _pairs(pairs: list[str]) -> dict[str, Any]:
    from caxton.domain.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f'"{pair}" is not a value', "write --set KEY=VALUE")
        values[key] = value
    return values


def _list(found: "Sequence[Template]", filter_text: str) -> None:
    from caxton.cli import gallery

    if not found:
        prose(f'no template fits "{filter_text}"')
        return
    gallery.show_list(found)
    remark(f"See one with: caxton init --preview --template {found[0].id}")


def _preview(shown: Any) -> None:
    from caxton.cli import gallery

    gallery.show_preview(shown)


def _tell(chosen: "Template", name: str, folder: Path, written: Sequence[Path]) -> None:
    """What was made, and what to do next."""
    if current().json:
        emit({"template": chosen.id, "name": name, "workspace": str(folder), "files": [str(path) for path in written]})
        return
    own = [path for path in written if path.parts[0] not in (".caxton", "tools")]
    tools: dict[str, int] = {}
    for path in written:
        if path.parts[0] == "tools":
            tools[path.parts[1]] = tools.get(path.parts[1], 0) + 1
    here = Path.cwd()
    if folder.resolve() != here.resolve():
        prose(f"This folder lies in the workspace {folder}, so the files are there:")
    first = Path("agents", f"{name}.toml")
    for path in sorted(own, key=lambda path: (path != first, path.parts[0] != "agents", str(path))):
        prose(f"{style('✓', 'green')} {_from(here, folder / path)}")
    for tool, count in tools.items():
        prose(f"{style('✓', 'green')} {_from(here, folder / 'tools' / tool)}/ ({plural(count, 'file')})")
    remark(f"Next: {style('caxton deploy', 'bold')}")
    for tool in tools:
        command = _grant_command(folder / "tools" / tool / "tool.toml")
        if command is not None:
            complain(f"{tool} runs without what it requests until an operator grants it: {command}")
    others = [other for other in chosen.works_with if not (folder / "agents" / f"{other}.toml").exists()]
    if others:
        remark(style(f"It works with others: caxton init {others[0]} --template {others[0]}", "dim"))


def _from(here: Path, path: Path) -> str:
    """`path` as one would type it `here`."""
    return os.path.relpath(path, here)


def _grant_command(manifest: Path) -> str | None:
    """The command that grants a tool what it requests; None if it needs no grant."""
    from caxton.definitions.tools import manifest_of
    from caxton.domain.grants import NOTHING, missing
    from caxton.domain.tools import BASE_LIMITS

    found = manifest_of(manifest.read_bytes()) if manifest.is_file() else None
    lacking = missing(found, NOTHING, BASE_LIMITS) if found is not None else None
    return lacking.command(found.name) if found is not None and lacking else None
