"""What an answer used, as services tell it: in different places, under different names, or not at all."""

from typing import Any, Final, cast

_INPUT: Final = ("prompt_tokens", "input_tokens", "prompt_eval_count", "promptTokenCount", "prompt_n")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "eval_count", "candidatesTokenCount", "predicted_n")

_DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")


def usage_in(fields: dict[str, Any], choice: dict[str, Any] | None) -> dict[str, Any] | None:
    """The usage that a piece of an answer tells, as OpenAI has it; None if it tells none that is of use.

    Args:
        fields: the piece.
        choice: its choice, where some services put it.
    """
    groq = fields.get("x_groq")
    places: list[Any] = [
        fields.get("usage"),
        choice.get("usage") if choice else None,
        cast("dict[str, Any]", groq).get("usage") if isinstance(groq, dict) else None,
        fields.get("usageMetadata"),
        fields.get("timings"),
        fields,
    ]
    for place in places:
        if isinstance(place, dict):
            found = _usage(cast("dict[str, Any]", place))
            if found is not None:
                return found
    return None


def _usage(told: dict[str, Any]) -> dict[str, Any] | None:
    used, made = _first(told, _INPUT), _first(told, _OUTPUT)
    if used is None and made is None:
        return None
    usage: dict[str, Any] = {
        "prompt_tokens": used or 0,
        "completion_tokens": made or 0,
        "total_tokens": (used or 0) + (made or 0),
    }
    for name in _DETAILS:
        details = told.get(name)
        if isinstance(details, dict):
            counts = cast("dict[str, Any]", details)
            kept = {key: count for key, value in counts.items() if (count := _count(value)) is not None}
            if kept:
                usage[name] = kept
    return usage


def _first(told: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := _count(told.get(name))) is not None), None)


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1e15 else None
