"""What no model can check of `[[triggers]]`: names given twice, secrets that are not for triggers."""

from collections.abc import Iterator
from typing import Any, cast

from caxton.definitions.schedules import check_capability, check_content, entries, named_twice
from caxton.definitions.template_language import TRIGGER_VARIABLES
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.domain.problems import Problem
from caxton.domain.secrets import split_reference
from caxton.domain.triggers import secret_problem


def check_triggers(source: TomlSource) -> Iterator[Problem]:
    """Problems of the triggers of an agent's file. Whether their secrets are there, the server tells."""
    yield from named_twice(source, "triggers", "trigger")
    for path, entry in entries(source, "triggers"):
        yield from check_capability(source, path, entry)
        yield from check_content(source, path, entry, TRIGGER_VARIABLES)
        for where, reference in secrets_of(path, entry.get("secret")):
            try:
                split_reference(reference)
            except ValueError:
                continue  # told already
            wrong = secret_problem(reference)
            if wrong is not None:
                hint = 'write "env:HOOK_NAME", "file:/PATH/hooks/NAME" or "keyring:hooks/NAME"'
                yield source.problem(where, f"a trigger may not use this secret: {wrong}", hint)


def secrets_of(path: Path, given: Any) -> Iterator[tuple[Path, str]]:
    """The references under `secret`, which is one or a list, with their places."""
    if isinstance(given, str):
        yield (*path, "secret"), given
    elif isinstance(given, list):
        for index, each in enumerate(cast("list[Any]", given)):
            if isinstance(each, str):
                yield (*path, "secret", index), each
