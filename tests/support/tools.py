"""Tools that come with Caxton, as files to deploy."""

from pathlib import Path

import caxton

BUNDLED_TOOLS = Path(caxton.__file__).parent / "bundled" / "tools"


def bundled_tool(name: str) -> dict[str, str | bytes]:
    """All files of a bundled tool, by their path in a workspace."""
    folder = BUNDLED_TOOLS / name
    return {
        f"tools/{name}/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
