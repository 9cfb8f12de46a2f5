"""Makes the blocking client out of the asynchronous one: `python -m caxton.client.unasync`.

The two differ in keywords and a few names only, so one is written and the other generated, as httpcore and psycopg do
it. A test says when a generated file is stale.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = {"transport_async.py": "transport_sync.py", "async_client.py": "sync_client.py"}

_RULES = [
    (r"`sync_(\w+)\.py` is generated from this file by", r"Generated from `async_\1.py` by"),
    (r"`transport_sync\.py` is generated from this file by", "Generated from `transport_async.py` by"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncCaxton\b", "Caxton"),
    (r"\bAsyncTransport\b", "Transport"),
    (r"\bAsyncClient\b", "Client"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\.a(close|read|iter_lines)\(", r".\1("),
    (r"^from caxton\.client\.transport_async\b", "from caxton.client.transport_sync"),
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
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FOLDER / target), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Writes the generated modules."""
    for source, target in SOURCES.items():
        (FOLDER / target).write_text(convert((FOLDER / source).read_text(), target))


if __name__ == "__main__":
    main()
