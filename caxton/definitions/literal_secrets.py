"""Secrets do not belong in files that are deployed and kept: found by the formats of known keys, and by the names of settings."""

from collections.abc import Iterator

from caxton.definitions.toml_source import TomlSource
from caxton.domain.problems import Problem
from caxton.domain.secrets import literal_secrets

SETTINGS_HINT = 'write a reference, such as "env:NAME", "file:/PATH" or "keyring:SERVICE/USER"'
DEPLOYED_HINT = (
    "take it out, have it replaced where it is from, and let the server hold it: settings and tools name variables"
)


def secret_problems(source: TomlSource, hint: str = DEPLOYED_HINT) -> Iterator[Problem]:
    """A problem for each literal secret in `source`. None quotes it."""
    for path, kind in literal_secrets(source.data):
        problem = source.problem(path, f"this contains {kind}, and secrets do not belong in files", hint)
        yield problem.model_copy(update={"concealed": True})
