"""Fields of files that others wrote, each as the kind of value that it has to be. What is missing is empty."""

from typing import Any, cast


def table(value: object) -> dict[str, Any]:
    """A mapping.

    Raises:
        TypeError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"a mapping is expected where there is {_named(value)}")
    return {str(key): each for key, each in cast("dict[Any, Any]", value).items()}


def entries(value: object) -> list[Any]:
    """A list.

    Raises:
        TypeError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"a list is expected where there is {_named(value)}")
    return cast("list[Any]", value)


def tables(value: object) -> list[dict[str, Any]]:
    """A list of mappings.

    Raises:
        TypeError: it is something else.
    """
    return [table(each) for each in entries(value)]


def texts(value: object) -> list[str]:
    """A list of texts.

    Raises:
        TypeError: it is something else.
    """
    return [str(each) for each in entries(value)]


def _named(value: object) -> str:
    return "a list" if isinstance(value, list) else f'"{str(value)[:50]}"'
