"""Fields of files that others wrote, each as the kind of value that it has to be. What is missing is empty."""

from typing import Any, cast


class WrongFieldError(Exception):
    """A value is not what it has to be."""

    def __init__(self, value: object, wanted: str) -> None:
        """Say that `wanted`, such as "a list", is expected in place of `value`."""
        super().__init__(f"{wanted} is expected where there is {_named(value)}")
        self.value = value


def table(value: object) -> dict[str, Any]:
    """A mapping.

    Raises:
        WrongFieldError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WrongFieldError(value, "a mapping")
    return {str(key): each for key, each in cast("dict[Any, Any]", value).items()}


def entries(value: object) -> list[Any]:
    """A list.

    Raises:
        WrongFieldError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise WrongFieldError(value, "a list")
    return cast("list[Any]", value)


def tables(value: object) -> list[dict[str, Any]]:
    """A list of mappings.

    Raises:
        WrongFieldError: it is something else.
    """
    return [table(each) for each in entries(value)]


def texts(value: object) -> list[str]:
    """A list of texts.

    Raises:
        WrongFieldError: it is something else.
    """
    return [str(each) for each in entries(value)]


def number(value: object) -> float:
    """A number; a whole one is an `int`.

    Raises:
        WrongFieldError: it is something else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise WrongFieldError(value, "a number")


def whole(value: object) -> int:
    """A whole number.

    Raises:
        WrongFieldError: it is something else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WrongFieldError(value, "a whole number")


def _named(value: object) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value).lower() if isinstance(value, (int, float, bool)) else f'"{str(value)[:50]}"'
