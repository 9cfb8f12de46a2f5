"""Workspaces with mistakes, and the exact text that their author sees.

`CAXTON_WRITE_EXPECTED=1 pytest tests/unit/definitions/test_wrong_workspaces.py` writes the texts again: read the difference.
"""

import os
from pathlib import Path

import pytest

from caxton.definitions.render import render_problems
from caxton.definitions.workspace import load_workspace

WORKSPACES = sorted(path.parent for path in (Path(__file__).parent / "wrong_workspaces").glob("*/caxton.toml"))
DEPLOYED_TOOLS = {"csv-tools": ["read_csv", "parse", "summarize", "filter"], "chart-generator": None}


@pytest.mark.requirement("AGT-2")
@pytest.mark.parametrize("folder", WORKSPACES, ids=lambda folder: folder.name)
def test_all_mistakes_are_shown_at_once_in_their_places_with_a_fix(folder: Path) -> None:
    workspace = load_workspace(folder, DEPLOYED_TOOLS)
    shown = render_problems(workspace.problems, workspace.sources)
    expected = folder / "expected.txt"
    if os.environ.get("CAXTON_WRITE_EXPECTED"):
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", WORKSPACES, ids=lambda folder: folder.name)
def test_each_marker_lies_on_the_line_that_it_marks(folder: Path) -> None:
    workspace = load_workspace(folder, DEPLOYED_TOOLS)
    for problem in workspace.problems:
        if problem.width:
            line = workspace.sources[problem.file].split("\n")[problem.line - 1]
            assert problem.column - 1 + problem.width <= max(len(line), 1)
