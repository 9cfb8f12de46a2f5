"""Files that people write are short enough to be read whole."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LONGEST = 500
WRITTEN = {"py", "toml", "md", "html", "sh", "yml", "yaml", "mjs", "js", "ts", "rs", "go", "zig", "c", "wit", "txt"}
GENERATED = {"docs/reference", "clients/typescript/caxton.d.ts"}


@pytest.mark.parametrize(
    "folder", ["caxton", "tests", "benchmarks", "examples", "clients", "docs", "deploy", "scripts", "wasm"]
)
def test_no_file_is_longer_than_five_hundred_lines(folder: str) -> None:
    long: dict[str, int] = {}
    for path in (ROOT / folder).rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix[1:] not in WRITTEN or "node_modules" in path.parts or not path.is_file():
            continue
        if any(name == each or name.startswith(f"{each}/") for each in GENERATED):
            continue
        lines = len(path.read_text(encoding="utf-8", errors="replace").splitlines())
        if lines > LONGEST:
            long[name] = lines
    assert long == {}
