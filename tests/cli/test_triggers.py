"""`caxton trigger`."""

import json
from pathlib import Path

import pytest

from tests.api.test_triggers import BODY, triggered
from tests.cli.conftest import RunCli
from tests.conftest import HOOK_SECRETS
from tests.support.deploying import write_files


@pytest.mark.requirement("AGT-10")
@pytest.mark.parametrize("scheme", ["github", "stripe", "standard"])
def test_a_trigger_is_shown_and_tried(
    scheme: str, run_cli: RunCli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli("trigger", "list").out.startswith("no agent has a trigger")
    write_files(folder, triggered(scheme))
    assert run_cli("deploy").code == 0
    shown = run_cli("trigger", "show", "orders")
    url = run_cli("trigger", "list", "--json").data["triggers"][0]["url"]
    assert url.startswith("http://127.0.0.1:")
    assert url in shown.out
    assert url in run_cli("trigger", "list").out
    assert f"env:HOOK_{scheme.upper()}" in shown.out

    (folder / "event.json").write_bytes(BODY)
    missing = run_cli("trigger", "send", "orders", "--body", "event.json")
    assert missing.code != 0
    assert f"HOOK_{scheme.upper()} is not set" in missing.err
    monkeypatch.setenv(f"HOOK_{scheme.upper()}", HOOK_SECRETS[f"HOOK_{scheme.upper()}"])
    sent = run_cli("trigger", "send", "clerk/orders", "--body", "event.json", "--id", "d1", "--json")
    assert sent.data["state"] == "accepted"
    again = run_cli("trigger", "send", "orders", "--body", "event.json", "--id", "d1")
    assert "came before" in again.out
    shown = run_cli("execution", "wait", json.loads(sent.out)["execution_id"])
    assert ": order 7" in shown.out
    monkeypatch.setenv("HOOK_OTHER", "whsec_" + "bm90IHRoZSBzZWNyZXQ=")
    wrong = run_cli("trigger", "send", "orders", "--body", "event.json", "--secret", "env:HOOK_OTHER", "--json")
    assert wrong.error["code"] == "signature_refused"
    unknown = run_cli("trigger", "show", "oders", "--json").error
    assert unknown["hints"][0]["text"] == 'did you mean "orders"?'
    assert run_cli("trigger", "send", "orders", "--body", "none.json").code == 2
