"""Compact JSON text, fast: a turn writes some thirty pieces of it. And JSON that stays on one line for every reader."""

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def compact_encoder(
    *, sort_keys: bool = False, ascii_only: bool = True, default: Callable[[Any], Any] | None = None
) -> Callable[[Any], str]:
    """What `json.dumps` does with these options, without spaces.

    `JSONEncoder.encode` builds Python's encoder in C again for each value, which takes as long as the encoding; here it is
    built once. Where there is none (it belongs to CPython), the ordinary way does it.

    Args:
        sort_keys: whether objects are written in the order of their keys.
        ascii_only: whether other characters are escaped.
        default: makes something that JSON has out of what it does not have.
    """
    ordinary = json.JSONEncoder(
        separators=(",", ":"), sort_keys=sort_keys, ensure_ascii=ascii_only, default=default
    ).encode
    in_c = getattr(encoder, "c_make_encoder", None)
    if in_c is None:
        return ordinary
    text = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring
    encode = in_c(None, default or _refuse, text, None, ":", ",", sort_keys, False, True)
    return lambda value: "".join(encode(value, 0))


_LINE_ENDS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_line(value: Any) -> str:
    """`value` as compact JSON without anything that some reader takes for the end of a line.

    JSON escapes CR and LF in texts. Many readers (Python's `splitlines`, JavaScript before 2019) also end a line at
    U+0085, U+2028 and U+2029, so these are escaped too.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _LINE_ENDS.items():
        if character in text:
            text = text.replace(character, escape)
    return text


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")
