"""Globs, and addresses that lead elsewhere than they look."""

import pytest

from caxton.domain.globs import address_fits, glob_fits

PUBLIC = "https://api/public/*"


@pytest.mark.parametrize(
    ("text", "pattern", "fits"),
    [
        ("https://api/public/x", PUBLIC, True),
        ("https://api/public/a/../x", PUBLIC, True),
        ("https://api/public/a..b/x", PUBLIC, True),
        ("https://api/public/x?back=../..", PUBLIC, True),
        ("https://api/public/a%20b", PUBLIC, True),
        ("https://api/public/../secret", PUBLIC, False),
        ("https://api/public/./../secret", PUBLIC, False),
        ("https://api/public/%2e%2E/secret", PUBLIC, False),
        ("https://api/public/%252e%252e%252fsecret", PUBLIC, False),
        ("https://api/public/..\\secret", PUBLIC, False),
        ("https://api/public/.\t./secret", PUBLIC, False),
        ("https://api/public/" + "%25" * 9 + "2e/x", PUBLIC, True),
        ("https://api/public/%" + "25" * 9 + "2e/x", PUBLIC, False),
        ("https://api/public//../secret", PUBLIC, False),
        ("https://api/public/a//../x", PUBLIC, True),
        ("https://api/public//x", PUBLIC, True),
        ("/data/public/../secret", "/data/public/*", False),
        ("/data/public/?/../../secret", "/data/public/*", False),
        ("../secret", "*", True),
        ("../secret", "s*", False),
    ],
)
def test_an_address_has_to_fit_as_what_it_leads_to(text: str, pattern: str, fits: bool) -> None:
    assert address_fits(text, pattern) is fits


def test_only_star_and_question_mark_are_special() -> None:
    assert glob_fits("[a-z]", "[a-z]")
    assert not glob_fits("b", "[a-z]")
    assert not glob_fits("b", "[!a]")
    assert glob_fits("ab", "?b")
    assert glob_fits("a]b[", "*b[")
