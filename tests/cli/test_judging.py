"""What an approver sees of texts that try to deceive the eye."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.api.test_failures import hostile
from tests.cli.conftest import RunCli
from tests.cli.terminal import Terminal
from tests.support.agents import agent, replies
from tests.support.deploying import write_files

POLICY = 'tools = ["hostile"]\n[tool_policies."hostile.ok"]\napproval_mode = "operator"\n'
RULES = "[[rules]]\n[[rules.steps]]\ntool = 'hostile.ok'\narguments = { to = '{{ request }}' }\n[[rules.steps]]\nreply = 'done'\n"
OFFERED = '[{ name = "write", approval_mode = "operator" }]'


@pytest.mark.requirement("GOV-1")
@pytest.mark.parametrize("capability", ["pay", "write"])
def test_deceptive_characters_are_shown_by_their_numbers(run_cli: RunCli, folder: Path, capability: str) -> None:
    files = {**hostile(), **agent("pay", rules=RULES, more=POLICY)}
    files |= agent("writer", capabilities=OFFERED, rules=replies("{{ request }}"))
    write_files(folder, files)
    assert run_cli("deploy").code == 0
    assert run_cli("ask", capability, "to p\u0430ypal\u202e10\u200b", "--no-wait").code == 0
    found: list[dict[str, str]] = []
    deadline = time.monotonic() + 20
    while not found and time.monotonic() < deadline:
        found = run_cli("approvals", "list", "--json").data["approvals"]
    shown = run_cli("approvals", "show", found[0]["id"])
    assert not {"\u202e", "\u200b"} & set(shown.out)
    wanted = "to p\u0430ypal\\u202e10\\u200b" if capability == "pay" else "to p\u0430ypal<U+202E>10<U+200B>"
    assert wanted in shown.out
    assert "this word mixes alphabets: p\u0430ypal: U+0430 cyrillic small letter a" in shown.err
    if capability == "pay":
        assert json.loads(found[0]["content"]) == {"to": "to p\u0430ypal\u202e10\u200b"}


@pytest.mark.requirement("GOV-1")
def test_what_others_wrote_hides_nothing_on_a_terminal(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, agent("writer", capabilities=OFFERED, rules=replies("{{ request }}")))
    assert run_cli("deploy").code == 0
    assert run_cli("ask", "write", "please", "--no-wait").code == 0
    found: list[dict[str, str]] = []
    deadline = time.monotonic() + 20
    while not found and time.monotonic() < deadline:
        found = run_cli("approvals", "list", "--json").data["approvals"]
    reason = "fine \x1b[8mbut not for this\x1b[0m \x1b[30;40mnor this \x1b[2J\x1b]0;title\x07"
    assert run_cli("approvals", "reject", found[0]["id"], "--reason", reason).code == 0
    terminal = Terminal("approvals", "show", found[0]["id"], cwd=folder, env=dict(os.environ))
    assert terminal.finish() == 0
    for code in ("\x1b[8m", "\x1b[30;40m", "\x1b[2J", "\x1b]0;", "\x07"):
        assert code not in terminal.text
    assert "\\x1b[8mbut not" in terminal.text.replace("\r\n", " ")
