"""Looking secrets up: in the environment, in files, in the system's keyring, and wherever an installed package knows."""

import os
import threading
import time
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from caxton.domain.encodings import decoded
from caxton.domain.errors import Hint, SecretMissing
from caxton.domain.pasted import clean_key, without_marks
from caxton.domain.secrets import ENTRY_POINTS, SecretSource, split_reference
from caxton.observability.redaction import never_show

MOST_BYTES = 64 << 10
"""Of a file with a secret."""

KNOWN_FOR = 30.0
"""Seconds that a secret from a keyring or a package is taken for current: looking it up may take a while."""


class Secrets:
    """Resolves references. Values leave it as `SecretStr`, and logs never show what has left it."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Create it.

        Args:
            environment: where `env:` looks; the process's environment if not given.
        """
        self._environment = os.environ if environment is None else environment
        self._known: dict[str, tuple[float, SecretStr]] = {}
        self._lock = threading.Lock()

    def get(self, reference: str) -> SecretStr:
        """The secret that `reference` stands for now.

        Raises:
            SecretMissing: it is not there, is empty, or its source cannot be used.
        """
        try:
            scheme, place = split_reference(reference)
        except ValueError as error:
            raise SecretMissing(str(error)) from None
        if scheme == "env":
            return _found(self._environment.get(place, ""), reference, f"export {place}=…")
        if scheme == "file":
            return _found(_read(place, reference), reference)
        with self._lock:
            until, value = self._known.get(reference, (0.0, None))
            if value is None or time.monotonic() > until:
                value = _found(_ask(_source(scheme), place, reference), reference)
                self._known[reference] = time.monotonic() + KNOWN_FOR, value
        return value

    def find(self, reference: str | None) -> SecretStr | None:
        """Like :meth:`get`; None where there is no reference, or nothing at it."""
        try:
            return self.get(reference) if reference else None
        except SecretMissing:
            return None


def _found(value: str, reference: str, command: str | None = None) -> SecretStr:
    value = without_marks(value)
    if not value:
        what = "environment variable" if reference.startswith("env:") else "secret"
        name = reference.removeprefix("env:")
        raise SecretMissing(
            f"the {what} {name} is not set",
            Hint(
                text="set it in the environment of the server" if command else "put the secret there", command=command
            ),
            details={"reference": reference},
        )
    never_show(value)
    never_show(clean_key(value))  # as it is sent
    return SecretStr(value)


def _read(path: str, reference: str) -> str:
    try:
        # Not what blocks or never ends: a pipe, a device.
        if not Path(path).is_file():
            raise FileNotFoundError(2, "No such file")
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise OSError(27, "File too large")
        return decoded(content)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SecretMissing(
            f"the secret {reference} cannot be read: {reason}",
            "let the server's user read the file; it holds the secret and nothing else",
            details={"reference": reference},
        ) from None


def _source(scheme: str) -> SecretSource:
    if scheme == "keyring":
        return _from_keyring
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if scheme not in found:
        known = ", ".join(["env", "file", "keyring", *sorted(found)])
        raise SecretMissing(
            f'there is no source of secrets "{scheme}"',
            f"there are {known}; others come as packages with an entry point in {ENTRY_POINTS}",
        )
    source: Any = found[scheme].load()
    return source


def _ask(source: SecretSource, place: str, reference: str) -> str:
    try:
        return source(place)
    except SecretMissing:
        raise
    except LookupError as error:
        reason = str(error.args[0]) if error.args else "there is none"
    except Exception as error:  # a package of somebody else's: its text may quote the secret
        reason = type(error).__name__
    raise SecretMissing(f"the secret {reference} cannot be read", reason=reason, details={"reference": reference})


def _from_keyring(place: str) -> str:
    service, _, user = place.rpartition("/")
    try:
        import keyring
    except ImportError:
        raise SecretMissing(
            "secrets from a keyring need a package that is not installed",
            Hint(text="install it", command="pip install 'caxton[keyring]'"),
        ) from None
    return keyring.get_password(service, user) or ""


SECRETS = Secrets()
"""Of this process."""
