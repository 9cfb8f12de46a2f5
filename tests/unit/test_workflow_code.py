"""Workflow code is deterministic: it is run again from history after every crash."""

import ast
from pathlib import Path

import pytest

import caxton.workflows

MODULES = sorted(Path(caxton.workflows.__file__).parent.glob("*.py"))
ALLOWED = (
    "asyncio",
    "contextlib",
    "dataclasses",
    "datetime",
    "pydantic",
    "temporalio",
    "typing",
    "zlib",
    "caxton.domain",
    "caxton.routing",
    "caxton.workflows",
)
FORBIDDEN_CALLS = {"now", "utcnow", "today", "uuid4", "uuid1", "random", "randint", "open", "urandom", "token_hex"}


def parsed(path: Path) -> ast.Module:
    for _ in range(10):
        try:
            return ast.parse(path.read_text())
        except SystemError:  # CPython 3.11, when another thread parses something meanwhile: gh-106905
            continue
    raise AssertionError(f"{path.name} cannot be parsed")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_workflow_modules_import_only_what_is_deterministic(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.startswith(ALLOWED), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_workflow_modules_ask_no_clock_and_roll_no_dice(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        if text.startswith("workflow."):
            continue
        assert text.rpartition(".")[2] not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno} calls {text}"
        assert text not in ("asyncio.sleep", "asyncio.wait", "asyncio.as_completed"), f"{path.name}:{node.lineno}"
