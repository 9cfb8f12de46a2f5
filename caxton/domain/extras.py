"""What an installation of Caxton may lack: the extras of its package, and how each is installed.

`pip install caxton` is the command line and the Python client. A server, its memory and some back ends are extras (`pip install
'caxton[server]'`), for together they weigh twenty times as much.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from caxton.domain.errors import Hint, NotInstalled

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (
        "alembic",
        "anthropic",
        "apsw",
        "cryptography",
        "fastapi",
        "fastapi_offline",
        "filelock",
        "google.protobuf",
        "httptools",
        "httpx2",
        "jsonschema_rs",
        "jwt",
        "openai",
        "opentelemetry",
        "prometheus_client",
        "psutil",
        "pydantic_ai",
        "rapidfuzz",
        "requests",
        "sqlalchemy",
        "starlette",
        "temporalio",
        "uvicorn",
        "uvloop",
        "wasmtime",
    ),
    "mcp": ("mcp", "mcp_types"),
    "memory": ("lancedb", "lance", "pyarrow", "numpy", "onnxruntime", "tokenizers", "caxton_minilm"),
    "postgres": ("psycopg",),
    "qdrant": ("qdrant_client",),
    "keyring": ("keyring",),
    "import": ("yaml",),
}
"""For each extra, the modules that Caxton imports from what it installs."""

_MEANT: Final[Mapping[str, str]] = {
    "server": "this installation has no server: it is the command line and the Python client",
    "mcp": "tools that are ordinary MCP servers need a package that is not installed",
    "memory": "this installation has no memory",
    "postgres": "PostgreSQL needs its driver, which is not installed",
    "qdrant": "Qdrant needs its client, which is not installed",
    "keyring": "the system's keyring needs a package that is not installed",
    "import": "files in YAML need a package that is not installed",
}


def lacks(extra: str) -> list[str]:
    """The modules of `extra` that are not installed."""
    return [module for module in EXTRAS[extra] if not _is_there(module)]


def require(extra: str) -> None:
    """Makes sure that `extra` is installed.

    Raises:
        NotInstalled: it is not, or not all of it.
    """
    if missing := lacks(extra):
        raise not_installed(extra, missing)


def not_installed(extra: str, missing: Sequence[str]) -> NotInstalled:
    """The error that tells how to install `extra`, of which the modules `missing` are not there."""
    hints = [Hint(text="install it", command=install_command(extra))]
    if extra == "server":
        hints.append(Hint(text="commands talk to a server elsewhere with --url or CAXTON_URL"))
    partly = len(missing) < len(EXTRAS[extra])
    reason = f"missing: {', '.join(missing)}" if partly else None
    return NotInstalled(_MEANT[extra], *hints, reason=reason, details={"extra": extra, "missing": list(missing)})


def extra_of(module: str) -> str | None:
    """The extra that brings `module`, if one does."""
    return next(
        (extra for extra, names in EXTRAS.items() for name in names if f"{module}.".startswith(f"{name}.")), None
    )


def install_command(extra: str) -> str:
    """What to type to install `extra` beside what runs here: with the pip of this Python, from where Caxton came from."""
    pip = shutil.which("pip")
    ours = pip is not None and Path(pip).parent == Path(sys.executable).parent
    program = "pip" if ours or not find_spec("pip") else f"{shlex.quote(sys.executable)} -m pip"
    return f"{program} install {_requirement(extra)}"


def _requirement(extra: str) -> str:
    """`'caxton[server]'`, or the same of the folder or the wheel that was installed."""
    origin: dict[str, Any] = {}
    with suppress(PackageNotFoundError, ValueError, OSError):
        origin = json.loads(distribution("caxton").read_text("direct_url.json") or "{}")
    address = urlsplit(str(origin.get("url", "")))
    if address.scheme != "file" or not Path(unquote(address.path)).exists():
        return f"'caxton[{extra}]'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return editable + shlex.quote(f"{unquote(address.path)}[{extra}]")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package above
        return False
