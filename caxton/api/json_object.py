"""Free-form JSON objects in bodies."""

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticSerializationError, to_json


def _can_be_written(value: dict[str, Any]) -> dict[str, Any]:
    try:
        to_json(value)
    except (PydanticSerializationError, UnicodeError):
        raise ValueError("a text in it is not Unicode: it has one half of a surrogate pair") from None
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_can_be_written)]
"""An object of whatever. JSON can hold texts that nothing can write again: those are refused."""
