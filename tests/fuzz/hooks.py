"""What Schemathesis has to know beyond the description: bodies that are not JSON, and what the server has.

Loaded by Schemathesis itself (`SCHEMATHESIS_HOOKS`). `CAXTON_FUZZ_KNOWN` has the ids of what is there, so that not everything
that is asked for is missing.
"""

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.hooks import HookContext

KNOWN: dict[str, dict[str, list[str]]] = json.loads(os.environ.get("CAXTON_FUZZ_KNOWN", "{}"))
"""Values that exist, by name of a parameter or field, by the beginning of the path ("" for all)."""


@schemathesis.serializer("application/octet-stream", "application/x-ndjson")
def as_bytes(_: Any, value: Any) -> bytes:
    """Bytes as they are; whatever else as a line of JSON."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace")
    return json.dumps(value).encode() + b"\n"


@schemathesis.hook
def before_generate_path_parameters(context: HookContext, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Half of them exist."""
    return _with_known(context, strategy)


@schemathesis.hook
def before_generate_body(context: HookContext, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Half of them name what exists."""
    return _with_known(context, strategy)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Any, case: Any, response: Any) -> bool:
    """An agent that was stopped on the way is not available, and a busy machine may not be ready: that is what 503 is for."""
    said = b'"status":"degraded"' if case.path == "/ready" else b'"all_agents_unavailable"'
    return not (response.status_code == 503 and said in response.content)


def _with_known(context: HookContext, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    path = context.operation.path if context.operation else ""
    known = {name: values for start, each in KNOWN.items() if path.startswith(start) for name, values in each.items()}

    @st.composite
    def some(draw: st.DrawFn) -> Any:
        value = draw(strategy)
        if not isinstance(value, dict) or not draw(st.booleans()):
            return value
        return {
            name: draw(st.sampled_from(known[name])) if name in known and each is not None else each
            for name, each in value.items()
        }

    return some()
