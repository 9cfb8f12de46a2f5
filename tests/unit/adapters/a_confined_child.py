"""A confined child that tells who it is."""

import os
from typing import Any

from caxton.adapters.confined import serve


def answer(_request: dict[str, Any]) -> dict[str, Any]:
    return {"pid": os.getpid()}


if __name__ == "__main__":
    serve(answer, memory=64 << 20, cpu=1.0, replaced_above=1 << 40)
