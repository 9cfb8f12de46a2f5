"""States as people read them."""

import re


def in_words(state: str) -> str:
    """ "rolled back" for "RolledBack"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", state).lower()
