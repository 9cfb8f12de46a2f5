"""What the documentation tells people to type works."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from caxton.definitions.tools import manifest_of
from caxton.definitions.workspace import load_workspace
from caxton.runtime.settings_sources import load_settings
from tests.conftest import HOOK_SECRETS, RunningServer
from tests.docs.snippets import ROOT, snippets
from tests.support.deploying import write_files
from tests.support.wasm_agents import AGENT as WASM_AGENT

PAGES = sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def shell(text: str, folder: Path, server: RunningServer, workspace: str | None) -> str:
    """Runs commands in one shell as a user would, and returns what they print; any failing command fails the test.

    Without `workspace` it is `caxton.toml` that says in which one, as for a user.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")},
        **HOOK_SECRETS,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CAXTON_URL": server.url,
        "CAXTON_API_KEY": server.api_key,
        "CAXTON_DATA_DIR": str(server.data_dir),
        **({"CAXTON_WORKSPACE": workspace} if workspace else {}),
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def commands_of(page: str) -> str:
    """What a reader of `page` types into one shell, and the files that they save on the way. No folder is made for them."""
    typed: list[str] = []
    for snippet in snippets(page):
        if snippet.note.startswith("file: "):
            path = snippet.note.removeprefix("file: ")
            typed.append(f"cat > {path} <<'END OF THE FILE'\n{snippet.text}END OF THE FILE\n")
        elif snippet.note == "run":
            typed.append(snippet.text)
    return "".join(typed)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """An empty folder; a workspace that is made in it has a name that no other test uses."""
    folder = tmp_path / f"docs-{os.urandom(4).hex()}"
    folder.mkdir()
    return folder


@pytest.mark.requirement("ONB-6")
@pytest.mark.slow
def test_the_tour_of_the_readme_works_line_by_line(caxton_server: RunningServer, fresh: Path) -> None:
    printed = [
        shell(snippet.text, fresh, caxton_server, None)
        for snippet in snippets("README.md")
        if snippet.note == "tour: run"
    ]
    assert len(printed) == 4
    assert "60.0 %" in printed[1]
    assert "analyze-data" in printed[1]
    assert (fresh / "revenue-by-month.svg").read_text().startswith("<svg")
    assert "1.0.0 → 1.1.0" in printed[2]
    over_http = next(snippet.text for snippet in snippets("README.md") if snippet.note == "tour: over HTTP")
    told = shell(_of_this_server(over_http, caxton_server, fresh.name), fresh, caxton_server, None)
    assert told.endswith("}\n")
    assert json.loads(told)["state"] == "completed"


def _of_this_server(command: str, server: RunningServer, workspace: str) -> str:
    """A command for the server that `caxton serve` starts, for that of the tests."""
    for said, meant in {
        "http://127.0.0.1:8080": server.url,
        "$(cat ~/.local/share/caxton/admin.key)": server.api_key,
        "X-Caxton-Workspace: shop": f"X-Caxton-Workspace: {workspace}",
    }.items():
        assert said in command
        command = command.replace(said, meant)
    return command


PRINTED = {
    "tutorial": ["O Tuesday, how brightly thou dost compile!", "Welcome, Ada! O Ada"],
    "how-to/build-a-web-front-end": [r'"delta":"Dear Ada, all is well\."', r'"type":"RUN_FINISHED".*"type":"success"'],
    "how-to/circuit-breakers": [
        r"agent fragile +open +temporarily unavailable; ",
        r"Repaired: a good one",
        r"all circuit breakers are closed",
        r"(?s)circuit_breaker_opened.*circuit_breaker_half_opened.*circuit_breaker_closed",
        r"the circuit breaker of agent fragile is closed; it was open",
    ],
    "how-to/event-log": [r"(?s)the chain is unbroken.*the chain is unbroken"],
    "how-to/fork-an-execution": [
        r"Nobody knows\.",
        r"can be forked at:\s+0 +the request alone\s+1 +→ look-up",
        r"It is here: Shelf 7\.",
        r"goes on from x_\w+ after step 1 \(1 model call and 1 result taken over\)",
    ],
    "how-to/gate-a-new-version": [
        r"(?s)gate recorded-turns \(replay\), failed, 2 turns of 2 compared: 2 of 2 turns differ.*similar: the replies",
        r"exit code 9",
        r"exit code 9\s+The shop opens at nine: When do you open\?",
        r"(?s)exit code 9.*gate recorded-turns \(replay\), passed, 3 turns of 3 compared",
    ],
    "how-to/govern-agents": ["checked the order|granted"],
    "how-to/grant-tools": [
        r"(?s)http-client requests http://127\.0\.0\.1:18779, TOOL_WEATHER_API_KEY, wall_time=30s.*grant it: caxton tool",
        r"exit code \d",
        r"http-client may have http://127\.0\.0\.1:18779.*",
        r'"forecast": "rain"',
        r"https://mail\.example\.com.*0 of 20 calls used",
        r"tool_rights_refused",
    ],
    "how-to/import-agents": [
        r"2 agents and 1 tool of Docker Agent, which would be written",
        r"caxton tool grant filesystem --command 'npx -y @modelcontextprotocol/server-filesystem /srv/notes' --env",
        r"2 agents and 1 tool: no errors",
    ],
    "how-to/limits-and-fairness": [r"agent clerk +2 of 2 in flight, 10/s +\d waiting +for "],
    "how-to/manage-keys-and-roles": ["(?s)(cx_.*){6}"],
    "how-to/memory": ["Anna drinks tea", "2 memories would be removed", "2 memories and 0 relations imported"],
    "how-to/read-web-pages": [
        "needs what nobody has granted: http://127.0.0.1:18777",
        "Soup of <b>leeks</b>, 6 euros.",
    ],
    "how-to/retention-and-deletion": ["deleted: 2 messages", "executions     365 d"],
    "how-to/roll-out-a-new-version": [
        "canary: not live yet",
        "5 % of new conversations",
        "50 % of new",
        "2.0.0 was rolled back",
        r"(?s)canary, rolled back\n  (\d+) of \1 messages failed, and 0 of \d+ of the stable\s+version",
        r"shadow, 3 turns of 3 compared: 1 differs\n +x_\w+ → x_\w+  exact: the reply is\s+another one",
    ],
    "how-to/run-from-a-webhook": [
        r"Reviewed\. ada pushed 2 commits to\s+ada/engine",
        "came before, and is not done again",
    ],
    "how-to/run-on-a-schedule": ["Done: Report on Berlin for", "due times from"],
    "how-to/talk-a2a": [
        r"O Tuesday, how brightly thou dost compile! \(verse 1\)\n",
        r"O Wednesday, how brightly thou dost compile! \(verse 2\)\n",
        r'"state":"TASK_STATE_COMPLETED".*O Thursday, how brightly',
    ],
    "how-to/send-images-and-files": [
        r"Filed: sales\.csv \(text/csv, 34 bytes\)\s+clerk\.toml \(text/plain",
        r"\[sales\.csv, text/csv, 34 B\]",
    ],
    "how-to/use-curl": [
        r"\banswer\nYou said: Good morning\.",
        r"\n +2 x_\w+\n",
        r"event: reply",
        r"completed\nclerk\nYou said: One\.\nYou said: Two\.\n4\n3\n",
        r"You said: Keep this\. I keep sales\.csv\.\nmonth,sales",
        r"You said: Dear Ada\.\nGranted",
        r"\"code\":\"no_capable_agent\".*\(curl ended with 22\)",
    ],
    "how-to/use-an-mcp-server": [
        "notes runs outside of the sandbox",
        "To do: buy leeks",
        "(?s)offers something else.*list_notes +changed.*Mail them to me first.*may be called.*To do: buy leeks",
    ],
    "how-to/use-an-openai-client": [
        r"'write-verse', 'agent:poet'",
        r"O Tuesday, how brightly thou dost compile! \(verse 1\)",
        "O Wednesday, how brightly",
        r"O Friday, how brightly thou dost compile! \(verse 2\)",
    ],
    "how-to/use-from-an-mcp-client": [
        "write-verse - Writes a verse on a theme.",
        r"O Tuesday, how brightly thou dost compile! \(verse 1\)",
        r"O Friday, how brightly thou dost compile! \(verse 2\)",
        r"O Sunday, how brightly thou dost compile! \(verse 1\)",
    ],
    "how-to/use-the-python-client": [
        "O Tuesday, how brightly thou dost compile!",
        'no agent offers the capability "write-vers" . did you mean "write-verse"?',
        "reply of poet",
        "4 messages",
        "50 of 50",
    ],
    "how-to/write-a-tool": [r"✓ tools/word-count/ \(4 files\)"],
    "how-to/write-an-agent-in-webassembly": [
        r"1\. \[ \] milk",
        r"✓ agents/shopping.toml, agents/shopping/ \(3 files\)",
    ],
    "how-to/write-an-agent": ["Send me a table, and say that you want its sum.", r'(?s)"total": ?10.*"total": ?10'],
}
"""What the commands of each page print, as patterns."""


def test_no_page_with_commands_to_type_is_left_out() -> None:
    assert {f"docs/{page}.md" for page in PRINTED} == {page for page in PAGES if commands_of(page)}


def test_every_recipe_for_curl_is_one_that_is_run() -> None:
    notes = {snippet.note.partition(":")[0] for snippet in snippets("docs/how-to/use-curl.md")}
    assert notes == {"run", "file"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED)
def test_the_page_works_line_by_line_in_an_empty_folder(
    page: str, caxton_server: RunningServer, workspace: str, fresh: Path
) -> None:
    commands = commands_of(f"docs/{page}.md")
    printed = shell(commands, fresh, caxton_server, None if "caxton init" in commands else workspace)
    for pattern in PRINTED[page]:
        assert re.search(pattern, printed), f"{pattern}\n{printed}"


def test_the_agent_of_the_how_to_is_valid(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "caxton.toml").write_text("")
    for snippet in snippets("docs/how-to/write-an-agent.md"):
        if snippet.note.startswith("file: "):
            (tmp_path / snippet.note.removeprefix("file: ")).write_text(snippet.text)
    known = {"csv-tools": ["summarize"], "chart-generator": ["line_chart"]}
    assert not load_workspace(tmp_path, known).errors


AGENT = {"name": '"a"', "version": '"1.0.0"', "capabilities": '["work"]', "model": '"auto"'}


@pytest.mark.parametrize("page", PAGES)
def test_toml_in_the_documentation_is_valid(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is a file of a workspace, or a part of one: settings, an agent, a script, a tool's manifest."""
    for name in [name for name in os.environ if name.startswith("CAXTON_")]:
        monkeypatch.delenv(name)
    for number, snippet in enumerate(snippets(page)):
        if snippet.language != "toml":
            continue
        data = tomllib.loads(snippet.text)
        folder = tmp_path / str(number)
        folder.mkdir()
        if "project" in data:
            assert data["project"]["entry-points"], page  # of a package that adds to Caxton
        elif "module" in data or "mcp_server" in data:
            assert manifest_of(snippet.text.encode()) is not None, (page, snippet.text)
        elif "rules" in data:
            assert snippet.note.startswith("file: "), (
                page
            )  # a script is checked with its agent, by the tests that follow pages
        elif "capabilities" in data or isinstance(data.get("tools"), list) or "tool_policies" in data:
            used = sorted({name.partition(".")[0] for name in data.get("tool_policies", {})})
            minimal = {**AGENT, "tools": json.dumps(used)}
            files: dict[str, str | bytes] = {}
            if "wasm" in data:
                del minimal["model"]
                files = {f"agents/{data['wasm']['module']}": WASM_AGENT.read_bytes()}
            if data.get("kind") == "a2a":
                del minimal["model"], minimal["tools"]
            missing = "".join(f"{key} = {value}\n" for key, value in minimal.items() if key not in data)
            write_files(folder, {"agents/a.toml": missing + snippet.text, **files})
            wrong = [problem.message for problem in load_workspace(folder).errors if "script" not in problem.message]
            assert not wrong, (page, snippet.text, wrong)
        else:
            (folder / "caxton.toml").write_text(snippet.text)
            load_settings({}, folder)


def test_settings_in_the_documentation_name_a_default_model(tmp_path: Path) -> None:
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
