"""`caxton tool grant`, `grants`, `revoke-grant`, and what `deploy`, `show` and `init` say of grants."""

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli
from tests.support.deploying import write_files
from tests.support.hostile_tool import hostile_tool


@pytest.mark.requirement("TOL-12")
def test_deploying_says_what_is_not_granted_and_the_command_that_grants_it(run_cli: RunCli, folder: Path) -> None:
    wants = {"network": ["https://api.example.com"], "environment": ["HOME"]}
    write_files(folder, hostile_tool(permissions=wants, limits={"wall_time": "20s"}))
    command = "caxton tool grant hostile --network https://api.example.com --environment HOME --limit wall_time=20s"
    for arguments in (("deploy", "--dry-run"), ("deploy",)):
        said = run_cli(*arguments)
        assert said.code == 0
        assert "hostile requests https://api.example.com, HOME, wall_time=20s: nobody has granted that" in said.err
        assert f"grant it: {command}" in said.err
    shown = run_cli("tool", "show", "hostile").out
    assert command in shown
    called = run_cli("tool", "call", "hostile.environment", "-a", "name=HOME", "--json")
    assert called.error["code"] == "tool_not_granted"
    assert called.error["hints"][0]["command"] == "caxton tool grant hostile --environment HOME"

    granted = run_cli(*shlex.split(command)[1:])
    assert granted.code == 0
    assert "hostile may have https://api.example.com, HOME, wall_time=20s" in granted.out
    assert "not granted" not in run_cli("tool", "show", "hostile").out
    assert run_cli("tool", "call", "hostile.environment", "-a", "name=HOME").code == 0
    listed = run_cli("tool", "grants")
    assert "hostile" in listed.out
    grant_id = granted.out.split()[0]
    assert run_cli("tool", "revoke-grant", grant_id).code == 0
    assert run_cli("tool", "grants", "hostile").out.startswith("nothing is granted")
    assert run_cli("tool", "revoke-grant", grant_id).code != 0


@pytest.mark.requirement("TOL-12")
def test_all_that_is_requested_can_be_granted_at_once(run_cli: RunCli, folder: Path) -> None:
    write_files(folder, hostile_tool(permissions={"environment": ["HOME"]}, limits={"memory": "256MB"}))
    run_cli("deploy")
    made = run_cli(
        *("tool", "grant", "hostile", "--requested", "--agent", "clerk", "--function", "environment", "--count", "3"),
        *("--expires", "8h", "--argument", "name=H*", "--reason", "why not", "--json"),
    ).data
    assert (made["environment"], made["limits"]["memory"]) == (["HOME"], 256 << 20)
    assert (made["agent"], made["function"], made["arguments"], made["count"]) == (
        "clerk",
        "environment",
        {"name": "H*"},
        3,
    )
    assert run_cli("tool", "grant", "hostile", "--requested").code != 0  # nothing is left
    digest = run_cli("tool", "show", "hostile", "--json").data["digest"]
    pinned = run_cli("tool", "grant", "hostile", "--environment", "LANG", "--this-version")
    assert f"(version {digest[:12]})" in pinned.out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--network", "example.com"),
        ("--limit", "memory"),
        ("--limit", "colour=red"),
        ("--files", "relative"),
        ("--environment", "A=B"),
        ("--environment", "OPENAI_API_KEY"),
        ("--environment", "HOME", "--expires", "soon"),
    ],
)
def test_wrong_grants_are_refused_in_words(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    refused = run_cli("tool", "grant", "hostile", *arguments)
    assert refused.code != 0
    assert "error" in refused.err
    assert run_cli("tool", "grants", "--json").data["grants"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["hostil"],
            'no tool "hostil" is deployed: the grant has no effect until there is one; did you mean "hostile"?',
        ),
        (["hostile", "--function", "enviroment"], 'hostile has no function "enviroment"'),
        (["hostile", "--function", "enviroment"], 'did you mean "environment"?'),
        (["hostile", "--function", "environment", "--argument", "nam=H*"], 'has an argument "nam"'),
        (["memory"], '"memory" is a built-in tool, which needs no grant: is yours called "memory-server"?'),
        (["hostile", "--agent", "clark"], 'no agent "clark" is deployed'),
    ],
)
def test_a_grant_that_has_no_effect_yet_says_so(run_cli: RunCli, folder: Path, arguments: list[str], told: str) -> None:
    write_files(folder, hostile_tool())
    assert run_cli("deploy").code == 0
    made = run_cli("tool", "grant", *arguments, "--environment", "HOME")
    assert made.code == 0
    assert told in made.err
    assert run_cli("tool", "grants", "--json").data["grants"]
    fits = run_cli("tool", "grant", "hostile", "--function", "environment", "--environment", "HOME")
    assert fits.err == ""


@pytest.mark.requirement("TOL-12")
def test_init_says_how_to_grant_what_a_template_requests(offline_cli: RunCli, folder: Path) -> None:
    said = offline_cli(
        "init", "fetcher", "--template", "data-fetcher", "--yes", "--set", "origins=https://data.example.com"
    )
    assert said.code == 0
    assert "caxton tool grant http-client --network https://data.example.com" in said.out + said.err
    plain = offline_cli("init", "other", "--template", "data-analyzer", "--yes")
    assert "tool grant" not in plain.out + plain.err
    assert (folder / "tools/http-client/tool.toml").exists()
