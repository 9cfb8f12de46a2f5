"""`[[triggers]]` of an agent's file: all that is wrong is told at once, where it stands, with a fix."""

import pytest

from caxton.definitions.agents import read_agent
from caxton.domain.triggers import secret_problem

AGENT = """\
name = "clerk"
version = "1.0.0"
capabilities = ["take-orders"]

[[triggers]]
name = "orders"
"""


def problems(more: str) -> list[tuple[int | None, str, str]]:
    reading = read_agent("clerk.toml", {"clerk.toml": (AGENT + more).encode()})
    return [(each.line, each.message, each.hint or "") for each in reading.problems]


@pytest.mark.requirement("AGT-10", "AGT-2")
@pytest.mark.parametrize(
    ("more", "line", "message", "hint"),
    [
        ('content = "x"', 5, '"secret" is missing', "secret ="),
        ('secret = "env:HOOK_X"', 5, '"content" is missing', "content ="),
        ('secret = "env:GITHUB_TOKEN"\ncontent = "x"', 7, "must begin with HOOK_", "env:HOOK_NAME"),
        ('secret = "file:/etc/passwd"\ncontent = "x"', 7, "must lie in hooks/", "/PATH/hooks/NAME"),
        ('secret = "file:/a/hooks/../b"\ncontent = "x"', 7, "no ..", ""),
        ('secret = ["env:HOOK_A", "keyring:caxton/x"]\ncontent = "x"', 7, "must lie in hooks/", "keyring:hooks/NAME"),
        ('secret = "squeamish ossifrage"\ncontent = "x"', 7, "not a reference", ""),
        ('secret = "env:HOOK_X"\nscheme = "gitlab"\ncontent = "x"', 8, '"gitlab" is not possible here', "github"),
        ('secret = "env:HOOK_X"\nmax_body = "8MB"\ncontent = "x"', 8, '"max_body" must be at most 4 MB', ""),
        ('secret = "env:HOOK_X"\ncapability = "take-order"\ncontent = "x"', 8, "does not offer", "take-orders"),
        ('secret = "env:HOOK_X"\ncontent = "{{ request }}"', 8, "request", ""),
        (
            'secret = "env:HOOK_X"\ncontent = "x"\n[[triggers]]\nname = "orders"\nsecret = "env:HOOK_X"\ncontent = "x"',
            10,
            'the trigger "orders" is given twice',
            "line 6",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(more: str, line: int, message: str, hint: str) -> None:
    found = problems(more)
    assert found
    assert found[0][0] == line
    assert message in found[0][1]
    assert hint in found[0][2]
    assert {each[0] for each in found} == {line}


@pytest.mark.requirement("AGT-10")
def test_a_good_trigger_is_read_with_its_defaults() -> None:
    text = AGENT + 'secret = "env:HOOK_X"\ncontent = "Order {{ body.order.number }} ({{ event }}, {{ delivery }})"\n'
    reading = read_agent("clerk.toml", {"clerk.toml": text.encode()})
    assert reading.value is not None
    [trigger] = reading.value.version.spec.triggers
    assert (trigger.scheme, trigger.tolerance, trigger.max_body, trigger.secrets) == (
        "standard",
        300,
        1 << 20,
        ["env:HOOK_X"],
    )


HOME = "local"
"""The server's own customer."""


@pytest.mark.requirement("AGT-10", "SEC-9")
@pytest.mark.parametrize(
    ("reference", "customer", "may"),
    [
        ("env:HOOK_X", None, True),
        ("env:HOOK_ACME__X", None, True),
        ("env:hook_x", None, False),
        ("env:HOOK_X", HOME, True),
        ("env:HOOK_MY_X", HOME, True),
        ("env:HOOK_ACME__X", HOME, False),
        ("env:GITHUB_TOKEN", HOME, False),
        ("env:HOOK_ACME__X", "acme", True),
        ("env:HOOK_X", "acme", False),
        ("env:HOOK_OTHER__X", "acme", False),
        ("env:HOOK_A_B__X", "a-b", True),
        ("env:HOOK_A__B__X", "a", True),
        ("file:/run/secrets/hooks/x", None, True),
        ("file:/run/secrets/hooks/x", HOME, True),
        ("file:/run/secrets/hooks/acme/x", HOME, False),
        ("file:/run/secrets/hooks/x/", HOME, False),
        ("file:/run/hooks/../secrets/x", None, False),
        ("file:/run/secrets/hooks/acme/x", "acme", True),
        ("file:/run/secrets/hooks/acme/y/x", "acme", False),
        ("file:/run/secrets/hooks/x", "acme", False),
        ("file:/run/secrets/hooks/acme/../x", "acme", False),
        ("vault:hooks/acme/../other/x", "acme", False),
        ("vault:hooks/acme/..%2fother%2fx", "acme", False),
        ("keyring:hooks/x", None, True),
        ("keyring:hooks/x", HOME, True),
        ("keyring:hooks/acme/x", "acme", True),
        ("keyring:other/x", None, False),
    ],
)
def test_a_trigger_reaches_no_other_secret_of_the_server(reference: str, customer: str | None, may: bool) -> None:
    assert (secret_problem(reference, customer, is_home=customer == HOME) is None) is may


@pytest.mark.requirement("SEC-9", "EVT-6")
def test_no_secret_is_that_of_two_customers() -> None:
    customers = [
        HOME,
        "a",
        "b",
        "ab",
        "a-b",
        "a_b",
        "a--b",
        "a__b",
        "a-_b",
        "a-b-c",
        "a-b_c",
        "hooks",
        "hooks-a",
        "a-hooks",
    ]
    words = ["", "a", "b", "a_b", "a__b", "a___b", "a_b_c", "a-b", "a_b__c", "hooks", "hooks_a", "local", *customers]
    places = {f"env:HOOK_{one}{between}{two}".upper() for one in words for between in ("_", "__") for two in words}
    places = {each.replace("ENV:", "env:") for each in places}
    places |= {f"file:/run{'/hooks' * deep}/{one}/{two}" for deep in (1, 2) for one in words for two in words}
    places |= {f"file:/run/hooks/{one}/hooks/{two}/x" for one in words for two in words}
    for place in places:
        whose = [each for each in customers if secret_problem(place, each, is_home=each == HOME) is None]
        assert len(whose) <= 1, (place, whose)
    of_files = {each: f"file:/run/hooks/{each}/x" for each in customers if each != HOME}
    assert all(secret_problem(place, each) is None for each, place in of_files.items()), "each has a place"
