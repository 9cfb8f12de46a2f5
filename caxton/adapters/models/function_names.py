"""Names of functions as providers take them: letters, digits, `_` and `-`, at most 64 of them.

The mapping is a pure function of a function's own name, so that a conversation's earlier calls are named as they were.
"""

import hashlib
import re
from typing import Literal

LENGTH_LIMIT = 64
"""OpenAI's limit; Anthropic's is 128, others have the same 64."""

HANDOVER_PREFIX = "ask__"
"""Marks hand-overs to a capability, so that they are never taken for a tool's function."""

_IDS = 10**5
"""Calls of one conversation that are told apart."""

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_LENGTH = 8


def wire_name(name: str, kind: Literal["tool", "capability", "caller", "unknown"]) -> str:
    """The name under which a provider knows the function `name`.

    "csv-tools.parse" is "csv-tools__parse", the capability "analyze-data" is "ask__analyze-data". A name that is too
    long, has other characters, or could be mistaken for another gets a hash of the original at its end. A function of the caller
    has its own name. One that a model made up stays as it is, as far as that can be.
    """
    if kind == "unknown":
        return _FOREIGN.sub("_", name)[:LENGTH_LIMIT] or "unknown"
    if kind == "capability":
        plain, prefix = name, HANDOVER_PREFIX
    elif kind == "caller":
        plain, prefix = name, ""  # all others have "__" in their names
    else:
        server, _, function = name.partition(".")
        plain, prefix = function, f"{server}__"
    candidate = _FOREIGN.sub("_", prefix + plain)
    exact = candidate == prefix + plain and "__" not in name
    mistakable = kind == "tool" and candidate.startswith(HANDOVER_PREFIX)
    if exact and not mistakable and len(candidate) <= LENGTH_LIMIT:
        return candidate
    digest = hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()[:_HASH_LENGTH]
    return f"{candidate[: LENGTH_LIMIT - _HASH_LENGTH - 1]}_{digest}"


def wire_id(number: int) -> str:
    """The id under which a provider knows the call of that number, from 1, in what it is shown.

    Nine letters and digits: Mistral takes nothing else, and everybody takes that.
    """
    return f"call{number % _IDS:05d}"
