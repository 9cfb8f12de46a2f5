"""What the documentation tells people to type works."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import caxton
from caxton.definitions.workspace import load_workspace
from caxton.runtime.settings import load_settings
from tests.conftest import RunningServer
from tests.docs.snippets import ROOT, snippets

BUNDLED_TOOLS = Path(caxton.__file__).parent / "bundled" / "tools"
PAGES = sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def shell(text: str, folder: Path, server: RunningServer, workspace: str) -> str:
    """Runs a block of commands as a user would, and returns what they print; any failing command fails the test."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CAXTON_URL": server.url,
        "CAXTON_API_KEY": server.api_key,
        "CAXTON_WORKSPACE": workspace,
        "CAXTON_DATA_DIR": str(server.data_dir),
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.requirement("ONB-6")
@pytest.mark.slow
def test_the_tour_of_the_readme_works_line_by_line(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    printed = [
        shell(snippet.text, tmp_path, caxton_server, workspace)
        for snippet in snippets("README.md")
        if snippet.note == "tour: run"
    ]
    assert len(printed) == 4
    assert "60.0 %" in printed[1]
    assert "analyze-data" in printed[1]
    assert (tmp_path / "revenue-by-month.svg").read_text().startswith("<svg")
    assert "1.0.0 → 1.1.0" in printed[2]


@pytest.mark.slow
def test_the_tutorial_works_line_by_line(caxton_server: RunningServer, workspace: str, tmp_path: Path) -> None:
    printed = ""
    for snippet in snippets("docs/tutorial.md"):
        if snippet.note.startswith("file: "):
            path = tmp_path / snippet.note.removeprefix("file: ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(snippet.text)
        elif snippet.note == "run":
            printed += shell(snippet.text, tmp_path, caxton_server, workspace)
    assert "O Tuesday, how brightly thou dost compile!" in printed
    assert "Welcome, Ada! O Ada" in printed


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/how-to/event-log.md", "docs/how-to/govern-agents.md", "docs/how-to/memory.md"])
def test_the_how_to_works_line_by_line(page: str, caxton_server: RunningServer, workspace: str, tmp_path: Path) -> None:
    (tmp_path / "caxton.toml").write_text("")
    shutil.copytree(BUNDLED_TOOLS / "csv-tools", tmp_path / "tools" / "csv-tools")
    printed = ""
    for snippet in snippets(page):
        if snippet.note.startswith("file: "):
            path = tmp_path / snippet.note.removeprefix("file: ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(snippet.text)
        elif snippet.note == "run":
            printed += shell(snippet.text, tmp_path, caxton_server, workspace)
    if "govern" in page:
        assert "checked the order" in printed or "Granted" in printed
    elif "memory" in page:
        assert "Anna drinks tea" in printed
        assert "2 memories would be removed" in printed
        assert "2 memories and 0 relations brought in" in printed
    else:
        assert printed.count("the chain is unbroken") == 2


def test_the_agent_of_the_how_to_is_valid(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "caxton.toml").write_text("")
    for snippet in snippets("docs/how-to/write-an-agent.md"):
        if snippet.note.startswith("file: "):
            (tmp_path / snippet.note.removeprefix("file: ")).write_text(snippet.text)
    known = {"csv-tools": ["summarize"], "chart-generator": ["line_chart"]}
    assert not load_workspace(tmp_path, known).errors


@pytest.mark.parametrize("page", PAGES)
def test_toml_in_the_documentation_is_toml(page: str) -> None:
    for snippet in snippets(page):
        if snippet.language == "toml":
            tomllib.loads(snippet.text)


def test_settings_in_the_documentation_are_valid(tmp_path: Path) -> None:
    for snippet in snippets("docs/how-to/use-a-real-model.md"):
        if snippet.language == "toml":
            (tmp_path / "caxton.toml").write_text(snippet.text)
            assert load_settings({}, tmp_path).settings.models.default is not None


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    import re

    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}, which is not there"
