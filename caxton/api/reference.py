"""The REST API's description as a file: `python -m caxton.api.reference`."""

import json
from pathlib import Path

from caxton.api.app import build_api

TARGET = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"


def description() -> str:
    """The OpenAPI document as it belongs into the reference."""
    return json.dumps(build_api().openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(description())
