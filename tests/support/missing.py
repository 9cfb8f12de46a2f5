"""What a test needs and this machine may lack."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skips the test, which needs something that is not installed. Under continuous integration, where the variable CI is
    set and all of it has to be there, fails it: a test that never runs must not look as if it passed.

    Args:
        what: what is missing, and how to install it.
    """
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
