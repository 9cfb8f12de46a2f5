"""The types for TypeScript pass the strictest check, find mistakes, and the program of their page runs."""

import shutil
import uuid
from pathlib import Path

import pytest

from caxton.api.typescript import TARGET
from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.docs.snippets import snippets
from tests.support.agents import agent, replies
from tests.support.node import LOCKED, node, node_modules, program, run

STRICT = [
    "--strict",
    "--noUncheckedIndexedAccess",
    "--exactOptionalPropertyTypes",
    "--target",
    "es2022",
    "--types",
    "node",
]


@pytest.fixture
def folder() -> Path:
    """A folder beside the packages, which the compiler finds from there."""
    found = node_modules().parent / f"ts-{uuid.uuid4().hex}"
    found.mkdir()
    shutil.copy(TARGET, found)
    return found


def _roots() -> list[str]:
    return ["--typeRoots", str(node_modules() / "@types")]


@pytest.mark.requirement("FAC-5")
@pytest.mark.parametrize("module", ["nodenext", "preserve"])
def test_the_types_are_strict_and_find_mistakes(folder: Path, module: str) -> None:
    try:
        shutil.copy(LOCKED / "mistakes.ts", folder)
        [page] = [each.text for each in snippets("docs/how-to/use-typescript.md") if each.language == "ts"]
        (folder / "page.mts").write_text(page)
        files = [str(folder / name) for name in ("caxton.d.ts", "mistakes.ts", "page.mts")]
        done = run([*program("tsc"), "--noEmit", *STRICT, "--module", module, *_roots(), *files])
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        shutil.rmtree(folder)


@pytest.mark.requirement("FAC-5")
def test_the_program_of_the_page_runs(
    folder: Path, caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    deploy(agent("fetcher", capabilities='["fetch-data"]', rules=replies("They grew. You asked: {{ request }}")))
    try:
        [page] = [each.text for each in snippets("docs/how-to/use-typescript.md") if each.language == "ts"]
        for said, meant in {"http://127.0.0.1:8080": caxton_server.url, '"shop"': f'"{workspace}"'}.items():
            assert said in page
            page = page.replace(said, meant)
        (folder / "page.mts").write_text(page)
        made = run([*program("tsc"), *STRICT, "--module", "nodenext", *_roots(), str(folder / "page.mts")])
        assert made.returncode == 0, made.stdout + made.stderr
        done = run([node(), str(folder / "page.mjs")], env={"CAXTON_API_KEY": caxton_server.api_key})
        assert done.stdout == "completed They grew. You asked: How did sales develop?\n", done.stderr
    finally:
        shutil.rmtree(folder)
