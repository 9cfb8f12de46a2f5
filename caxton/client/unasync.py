"""Makes the blocking client out of the asynchronous one: `python -m caxton.client.unasync`.

The two differ in keywords and a few names only, so one is written and the other generated, as httpcore and psycopg do
it. A test says when a generated file is stale.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = {
    "transport_async.py": "transport_sync.py",
    "async_client.py": "sync_client.py",
    **{
        f"async_resources/{path.name}": f"sync_resources/{path.name}"
        for path in sorted((FOLDER / "async_resources").glob("*.py"))
    },
}

_RULES = [
    (r"`sync_(\w+)\.py` is generated from this file by", r"Generated from `async_\1.py` by"),
    (r"`sync_resources/(\w+)\.py` is generated from this file by", r"Generated from `async_resources/\1.py` by"),
    (r"`transport_sync\.py` is generated from this file by", "Generated from `transport_async.py` by"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(\w+)", r"\1"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\.a(close|read|iter_bytes)\(", r".\1("),
    (r"^from caxton\.client\.transport_async\b", "from caxton.client.transport_sync"),
    (r"^from caxton\.client\.async_resources\b", "from caxton.client.sync_resources"),
    (r"^import asyncio$", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
]


def convert(source: str, target: str) -> str:
    """The blocking form of an asynchronous module, formatted as the project's other files are.

    Args:
        source: text of the module.
        target: name of the file that it will be, for the formatter's configuration.
    """
    for pattern, replacement in _RULES:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    source = re.sub(r"\((\w+(?:\.\w+)*\((?:[^()]|\([^()]*\))*\))\)(?=[.\[])", r"\1", source)
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(FOLDER / target), "-"]
        source = subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout
    return source


def main() -> None:
    """Writes the generated modules."""
    for source, target in SOURCES.items():
        (FOLDER / target).write_text(convert((FOLDER / source).read_text(), target))


if __name__ == "__main__":
    main()
