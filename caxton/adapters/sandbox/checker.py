"""The checker's child process: `python -P -m caxton.adapters.sandbox.checker`.

Schemas with regular expressions, long ones, and large values are checked here: compiling or matching may take any time
and memory, and jsonschema-rs lets go of the interpreter in neither. Each request has its seconds of CPU, by a timer whose
signal ends the process; so does memory above the limit.
"""

import json
from collections import OrderedDict
from typing import Any, Final

from caxton.adapters.confined import serve
from caxton.domain.json_schemas import InvalidSchema, Malformed, Validator, compiled, violations

MEMORY_LIMIT: Final = 512 << 20
"""Bytes beside what the process has at its start."""

REPLACED_ABOVE: Final = 160 << 20
"""Bytes in memory above which the process ends after an answer: what it keeps must leave room for what comes."""

CPU_LIMIT: Final = 1.0
"""Seconds of CPU for one request."""

KEPT: Final = 500
"""Validators that are kept."""

_kept: OrderedDict[str, tuple[Validator, int]] = OrderedDict()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What a request asks: whether `schema` can be used, and if there is a `value`, in what it does not fit."""
    schema = request["schema"]
    try:
        found = _kept.get(schema) or compiled(schema)
        _kept[schema] = found
        _kept.move_to_end(schema)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
        if "value" not in request:
            return {"violations": []}
        return {"violations": violations(*found, json.loads(request["value"]))}
    except InvalidSchema as error:
        return {"invalid": str(error)}
    except Malformed as error:
        return {"malformed": str(error)}


def main() -> None:
    """Answers requests until there are no more."""
    import jsonschema_rs

    jsonschema_rs.validator_for({"type": "object"}).is_valid({})  # what it loads, it loads before it is limited
    serve(answer, memory=MEMORY_LIMIT, cpu=CPU_LIMIT, replaced_above=REPLACED_ABOVE)


if __name__ == "__main__":
    main()
