"""Values of a template that a user may choose."""

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from caxton.definitions.suggestions import closest, listed
from caxton.definitions.toml_positions import Path
from caxton.domain.errors import InvalidInput

CustomisationType = Literal["text", "integer", "number", "boolean", "list", "choice"]

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list of texts",
    "choice": "text",
}


class Customisation(BaseModel):
    """One such value: what it is for, and where it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    description: str
    type: CustomisationType = "text"
    choices: list[str] = []
    file: str = "agent.toml"
    """"agent.toml", or a file of one of the template's tools: "tools/http-client/tool.toml"."""
    path: str
    """Dotted path of the value in the file."""
    default: Any = None
    """The value that the file has; filled in when the template is read."""

    @property
    def place(self) -> Path:
        """The path as keys."""
        return tuple(self.path.split("."))


def convert(customisation: Customisation, value: Any) -> Any:
    """`value` as the type that the customisation has.

    Text is read as that type; the entries of a list are set apart by commas.

    Raises:
        InvalidInput: it is not of that type, or not one of the choices.
    """
    made = _read(customisation.type, value.strip()) if isinstance(value, str) else value
    if not _is_of(customisation.type, made):
        raise InvalidInput(f'"{customisation.key}" must be {_KINDS[customisation.type]}', customisation.description)
    if customisation.type == "choice" and made not in customisation.choices:
        guess = closest(made, customisation.choices)
        hint = f'did you mean "{guess}"?' if guess else f"choose one of {listed(customisation.choices, 'or')}"
        raise InvalidInput(f'"{customisation.key}" may not be "{made}"', hint)
    return made


def _read(kind: CustomisationType, text: str) -> Any:
    """`text` as `kind`; None if it is nothing such."""
    try:
        match kind:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return _TRUTH.get(text.lower())
            case "list":
                return [entry.strip() for entry in text.split(",") if entry.strip()]
            case _:
                return text
    except ValueError:
        return None


def _is_of(kind: CustomisationType, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "list":
        return isinstance(value, list) and all(isinstance(entry, str) for entry in cast("list[Any]", value))
    types: dict[str, type | tuple[type, ...]] = {"integer": int, "number": (int, float), "boolean": bool}
    return isinstance(value, types.get(kind, str))
