"""The gallery of templates: as a list, as a preview, and to choose from on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caxton.cli.output import columns, plural, prose, say, shorten, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.definitions.customisations import Customisation
    from caxton.definitions.templates import Preview, Template

_PREVIEW = "preview:"


def show_list(templates: "Sequence[Template]") -> None:
    """A line a template."""
    rows = [[template.id, _facts(template), template.description] for template in templates]
    for line in table(rows, ["template", "", "what it does"]):
        say(line)


def show_preview(found: "Preview") -> None:
    """All about one template, and the files that it makes."""
    show_outline(found)
    for path, text in found.files.items():
        say()
        say(style(f"── {path} ", "cyan"))
        say(text.rstrip())
    for folder in found.folders:
        say()
        say(style(f"── {folder}/ (copied)", "cyan"))


def show_outline(found: "Preview") -> None:
    """What one template is for, and which files it makes, on one screen."""
    template = found.template
    prose(f"{style(template.name, 'bold')}  ({template.id})")
    facts = [["", template.description], ["", _facts(template)], ["for", "; ".join(template.use_cases)]]
    if template.works_with:
        facts.append(["with", ", ".join(template.works_with)])
    facts += [["ask", f'"{prompt}"'] for prompt in template.example_prompts[:3]]
    facts += [
        ["--set", f"{each.key}={_default(each)}  {style(each.description, 'dim')}"] for each in template.customisations
    ]
    facts += [["makes", f"{path} ({plural(len(text.splitlines()), 'line')})"] for path, text in found.files.items()]
    facts += [["makes", f"{folder}/"] for folder in found.folders]
    for line in table(facts, indent="  "):
        say(line)


def choose(templates: "Sequence[Template]", default: str) -> str:
    """Lets the user choose: arrows move, typing filters, → previews, Enter takes.

    Raises:
        KeyboardInterrupt: the user has changed their mind.
    """
    from caxton.definitions.templates import preview

    chosen = default
    while True:
        answer = _select(templates, chosen)
        if not answer.startswith(_PREVIEW):
            return answer
        chosen = answer.removeprefix(_PREVIEW)
        say()
        show_outline(preview(chosen))
        say(style(f"  the files in full: caxton init --preview --template {chosen}", "dim"))
        say()


def _select(templates: "Sequence[Template]", default: str) -> str:
    import questionary
    from questionary.prompts.common import InquirerControl

    from caxton.cli import acknowledgement

    acknowledgement.settle()
    room = max(len(template.id) for template in templates) + 2
    choices = [
        questionary.Choice(
            title=shorten(f"{template.id:<{room}}{template.description}", columns() - len("? template  ")),
            value=template.id,
            description=_facts(template),
        )
        for template in templates
    ]
    question = questionary.select(
        "template",
        choices=choices,
        default=next((choice for choice in choices if choice.value == default), None),
        pointer="❯",
        use_search_filter=True,
        use_jk_keys=False,
        instruction="(type to filter, → to preview, Enter to take)",
    )
    application: Any = question.application
    control = next(found for found in application.layout.find_all_controls() if isinstance(found, InquirerControl))

    @application.key_bindings.add("right", eager=True)
    def show(event: Any) -> None:  # pyright: ignore[reportUnusedFunction] - called by the key
        event.app.exit(result=f"{_PREVIEW}{control.get_pointed_at().value}")

    return str(question.unsafe_ask())


def ask_name(default: str) -> str:
    """Asks what the agent should be called."""
    import questionary

    from caxton.definitions.suggestions import name_hint
    from caxton.domain.ids import is_name

    def check(text: str) -> bool | str:
        return True if not text or is_name(text) else name_hint(text)

    return str(questionary.text("name", placeholder=default, validate=check).unsafe_ask()) or default


def ask_customisations(template: "Template") -> dict[str, Any]:
    """Asks for the values that the template leaves open; Enter keeps what it has."""
    import questionary

    from caxton.definitions.customisations import convert
    from caxton.domain.errors import InvalidInput

    values: dict[str, Any] = {}
    for customisation in template.customisations:

        def check(text: str, customisation: "Customisation" = customisation) -> bool | str:
            try:
                convert(customisation, text)
            except InvalidInput as error:
                return error.message
            return True

        default = _default(customisation)
        message = f"{customisation.key}: {customisation.description}"
        if customisation.choices:
            answer = str(questionary.select(message, choices=customisation.choices, default=default).unsafe_ask())
        else:
            answer = str(questionary.text(message, default=default, validate=check).unsafe_ask())
        if answer != default:
            values[customisation.key] = answer
    return values


def _facts(template: "Template") -> str:
    needs = f" · needs {', '.join(template.tools)}" if template.tools else ""
    return f"{template.complexity} · {template.setup_minutes} min{needs}"


def _default(customisation: "Customisation") -> str:
    value = customisation.default
    if isinstance(value, list):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
