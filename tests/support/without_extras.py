"""A Python in which extras of Caxton's package are not installed, without an environment of its own."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PRELUDE = """
import sys

class Without:
    def __init__(self, finders, names):
        self.finders, self.names = finders, tuple(f"{name}." for name in names)

    def find_spec(self, name, path=None, target=None):
        if f"{name}.".startswith(self.names):
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders if hasattr(finder, "find_spec"))
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, *given, **more):
        for finder in self.finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*given, **more)

    def invalidate_caches(self):
        pass

from caxton.domain.extras import EXTRAS
sys.meta_path[:] = [Without(list(sys.meta_path), [name for extra in {extras!r} for name in EXTRAS[extra]])]
"""


def command(extras: Sequence[str]) -> list[str]:
    """The command line of a `caxton` without `extras`."""
    program = f"{PRELUDE.replace('{extras!r}', repr(list(extras)))}\nfrom caxton.__main__ import main\nmain()"
    return [sys.executable, "-c", program]


def run_without(extras: Sequence[str], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs `caxton ARGUMENTS` without `extras`."""
    return subprocess.run([*command(extras), *arguments], capture_output=True, text=True, timeout=60, **more)
