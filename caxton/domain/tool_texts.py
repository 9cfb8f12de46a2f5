"""What people and models read of a tool's result: MCP's content has more than texts, and some servers send no text at all."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

_LOOKED_FOR = 20_000_000
"""Characters times values: beyond this, what a text shows of a structure is not looked for, and the whole structure is added."""


def text_of_parts(content: Sequence[Mapping[str, Any]]) -> str:
    """The texts, links and embedded texts of a result's content, joined by newlines."""
    return "\n".join(text for part in content if (text := _text_of(part)) is not None)


def _text_of(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    if kind == "text":
        return str(part.get("text", ""))
    if kind == "resource_link":
        name, about, media_type = (str(part.get(key) or "") for key in ("name", "description", "mimeType"))
        facts = ", ".join(fact for fact in (about, media_type) if fact)
        return f"[link {part.get('title') or name}: {part.get('uri')}{f' ({facts})' if facts else ''}]"
    if kind == "resource":
        resource = cast("Mapping[str, Any]", part.get("resource") or {})
        return str(resource["text"]) if isinstance(resource.get("text"), str) else None
    return None


def whole_text(content: Sequence[Mapping[str, Any]], structured: Any, is_error: bool) -> str:
    """The text of a result; the structure as JSON where there is no text, and for an error always something."""
    text = text_of_parts(content)
    if not text.strip() and structured is not None:
        return _json(structured)
    return "the tool reported an error without a text" if is_error and not text.strip() else text


def seen_by_model(text: str, structured: Any, is_error: bool) -> str:
    """What a model gets of a result: its text, and what the structure has besides.

    MCP's servers should repeat the structure in the text. Many write a summary there, of which nobody could work on.
    """
    if not text.strip():
        return "(no content)" if structured is None else _json(structured)
    if structured is None or is_error:
        return text
    missing = _missing(text, structured)
    return f"{text}\n{_json(missing)}" if missing is not None else text


def _missing(text: str, structured: Any) -> Any:
    """The part of a structure that a text does not show; None where it shows all."""
    try:
        if json.loads(text) == structured:
            return None
    except (ValueError, RecursionError):
        pass  # an ordinary text
    if not isinstance(structured, dict):
        return None if _shows(text, structured) else structured
    fields = cast("dict[str, Any]", structured)
    return {name: value for name, value in fields.items() if not _shows(text, value)} or None


def _shows(text: str, value: Any) -> bool:
    values = list(_leaves(value))
    return len(values) * len(text) <= _LOOKED_FOR and all(leaf in text for leaf in values)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _leaves(each)
    elif value is not None:
        yield value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
