"""Options of the Qdrant back end: the table `[memory.options]` of the settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import Hint, InvalidSettings, SecretMissing
from caxton.domain.secrets import one_reference, split_reference

OPTIONS = ("url", "api_key", "api_key_env", "timeout", "prefix")


@dataclass(frozen=True, slots=True)
class Server:
    """Where Qdrant runs, and how to use it."""

    url: str
    key: SecretStr | None = field(default=None, repr=False)
    timeout: int = 10
    prefix: str = "caxton"
    """With what the names of collections begin: two installations can share a server."""


def server_of(options: Mapping[str, Any]) -> Server | None:
    """The configured server; None for the client's local mode.

    Raises:
        InvalidSettings: an option is wrong.
    """
    for name in options:
        if name not in OPTIONS:
            raise InvalidSettings(
                f'memory.options: the back end qdrant has no option "{name}"', Hint(text=f"it has {', '.join(OPTIONS)}")
            )
    url = options.get("url")
    timeout, prefix = options.get("timeout", 10), options.get("prefix", "caxton")
    if url is None:
        if options:
            raise InvalidSettings(
                f'memory.options: "{next(iter(options))}" says nothing without url', Hint(text="give the server's url")
            )
        return None
    if not isinstance(url, str) or not re.match(r"https?://[^/?#@\s]+(/[^?#\s]*)?$", url):
        raise InvalidSettings(
            "memory.options: url is not an address of a server", Hint(text='for example: url = "http://127.0.0.1:6333"')
        )
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 1:
        raise InvalidSettings(
            "memory.options: timeout is not a number of seconds", Hint(text="for example: timeout = 10")
        )
    if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", prefix):
        raise InvalidSettings(
            "memory.options: prefix must have 1 to 32 letters, digits, _ or -",
            Hint(text='for example: prefix = "caxton"'),
        )
    return Server(url, _key(options.get("api_key"), options.get("api_key_env")), timeout, prefix)


def _key(reference: Any, variable: Any) -> SecretStr | None:
    if reference is not None:
        try:
            split_reference(str(reference))
        except ValueError as error:
            raise InvalidSettings(f"memory.options: api_key: {error}") from None
    if variable is not None and (
        not isinstance(variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable)
    ):
        raise InvalidSettings(  # it may be the key itself, so it is not shown
            "memory.options: api_key_env is not a name of an environment variable",
            Hint(text='give the name of the variable that holds the key, for example: api_key_env = "QDRANT_API_KEY"'),
        )
    found = one_reference(reference, variable)
    try:
        return SECRETS.get(found) if found else None
    except SecretMissing as error:
        raise InvalidSettings(f"memory.options: {error.message}", *error.hints) from None
