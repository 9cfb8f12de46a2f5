"""Values that TOML can write but JSON cannot: what an agent is travels and is stored as JSON."""

import math
from collections.abc import Iterator
from datetime import date, time
from typing import Any, cast

from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.domain.problems import Problem


def unfit_values(source: TomlSource, path: Path, value: Any) -> Iterator[Problem]:
    """Dates, and numbers that are not finite, at or below `path`."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from unfit_values(source, (*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from unfit_values(source, (*path, index), inner)
    elif isinstance(value, (date, time)):
        span = source.span(path)
        kind = "a time" if isinstance(value, time) else "a date"
        yield source.problem(
            path, f"{kind} cannot be used here", f'put it in quotes: "{source.text[span.start : span.end]}"'
        )
    elif isinstance(value, float) and not math.isfinite(value):
        yield source.problem(path, f"{value} cannot be used here", "use a number that is finite")
