"""Secrets: settings hold references to them, never secrets themselves.

A reference names a source and a place in it: `env:OPENAI_API_KEY`, `file:/run/secrets/openai`, `keyring:caxton/openai`. Packages
add sources through entry points. A secret is looked up when it is used, so a rotated one counts from then on.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field

ENTRY_POINTS: Final = "caxton.secrets"
"""Group of entry points. The name is the scheme of a reference, the object a :data:`SecretSource`."""

ENGINE_KEY_PREFIX: Final = "cxe_"
"""With what keys that encrypt the engine's payloads begin, so that scanners find them."""

SecretSource = Callable[[str], str]
"""Gives the secret at a place: what follows the scheme and its colon. It raises `LookupError` when there is none; the error's
text is shown, so it must not quote a secret."""

_REFERENCE = re.compile(r"([a-z][a-z0-9+.-]{1,31}):(\S(?:.*\S)?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def split_reference(reference: str) -> tuple[str, str]:
    """The scheme and the place of a reference.

    Raises:
        ValueError: it is none. The text is not quoted: it may be the secret itself.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None or kind_of_secret(reference):
        raise ValueError(
            "this is not a reference to a secret; write env:NAME, file:/PATH or keyring:SERVICE/USER, never the secret itself"
        )
    scheme, place = found.groups()
    if scheme == "env" and not _VARIABLE.fullmatch(place):
        raise ValueError("what follows env: is not a name of an environment variable")
    if scheme == "file" and not place.startswith("/"):
        raise ValueError("what follows file: is not an absolute path")
    if scheme == "keyring" and not all(place.rpartition("/")[::2]):
        raise ValueError("what follows keyring: is a service and a user, joined by a slash")
    return scheme, place


def _check(reference: str) -> str:
    split_reference(reference)
    return reference


SecretReference = Annotated[str, Field(max_length=500), AfterValidator(_check)]
"""A reference to a secret, checked for its form; whether there is a secret, its use tells."""


def _check_or_variable(text: str) -> str:
    return text if _VARIABLE.fullmatch(text) and not kind_of_secret(text) else _check(text)


EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
"""The name of an environment variable that holds a secret."""

SecretOrVariable = Annotated[str, Field(max_length=500), AfterValidator(_check_or_variable)]
"""A reference, or for short the name of an environment variable."""


def as_reference(text: str) -> str:
    """The reference that a :data:`SecretOrVariable` is."""
    return f"env:{text}" if _VARIABLE.fullmatch(text) else text


def one_reference(reference: str | None, variable: str | None) -> str | None:
    """The reference of a setting that can also be given as the name of an environment variable."""
    return reference or (f"env:{variable}" if variable else None)


# --- what looks like a secret ----------------------------------------------------------------------------------------

_MIXED = r"(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])"
"""Made at random: words of a text have no digits."""

_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("a Caxton key", rf"cx[a-z]{{0,3}}_{_MIXED}[\w-]{{30,}}"),
    ("an Anthropic key", rf"sk-ant-{_MIXED}[\w-]{{16,}}"),
    ("an OpenRouter key", r"sk-or-v1-[0-9a-f]{32,}"),
    ("an OpenAI key", rf"sk-{_MIXED}[\w-]{{20,}}"),
    ("a GitHub token", r"gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"),
    ("a GitLab token", rf"gl(?:pat|rt|dt|cbt)-{_MIXED}[\w-]{{18,}}"),
    ("a Hugging Face token", rf"hf_{_MIXED}[A-Za-z0-9]{{30,}}"),
    ("a Groq key", rf"gsk_{_MIXED}[A-Za-z0-9]{{40,}}"),
    ("a Perplexity key", rf"pplx-{_MIXED}[A-Za-z0-9]{{40,}}"),
    ("an xAI key", rf"xai-{_MIXED}[A-Za-z0-9]{{40,}}"),
    ("a Slack token", rf"xox[abeprs]-{_MIXED}[\w-]{{10,}}|xapp-{_MIXED}[\w-]{{20,}}"),
    ("an AWS access key", r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    ("a Google API key", r"AIza[\w-]{35}"),
    ("a Google OAuth token", r"ya29\.[\w-]{30,}|GOCSPX-[\w-]{20,}"),
    ("a Stripe key", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("a webhook secret", rf"whsec_{_MIXED}[A-Za-z0-9+/=_-]{{20,}}"),
    ("an npm token", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"pypi-[\w-]{40,}"),
    ("a SendGrid key", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    ("a DigitalOcean token", r"do[opr]_v1_[0-9a-f]{32,}"),
    ("a Databricks token", r"dapi[0-9a-f]{32}"),
    ("a Telegram token", r"[0-9]{8,10}:AA[\w-]{33}"),
    ("a JSON Web Token", r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
)

_ANY_KIND: Final = tuple(
    (kind, re.compile(rf"(?<![A-Za-z0-9_-])(?:{pattern})(?![A-Za-z0-9])")) for kind, pattern in _KINDS
)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_PASSWORD_IN_URL: Final = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}://[^\s/@:\"'{}$<]{0,100}:([^\s/@\"'{}$<]{3,200})@[\w.\[-]"
)

_NAME_OF_SECRET: Final = re.compile(
    r"(?i)(?:.*[_-])?(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key"
    r"|signing[_-]?key|(?:access|auth|bearer|refresh|api)[_-]?token|token|credentials?)"
)
_NO_LITERAL: Final = re.compile(
    r"[A-Z][A-Z0-9_]*|.*[{}<>$\s].*|\*+|(?i:x+|none|null|true|false|optional|required)", re.S
)
"""What stands under such a name and is not a secret: a variable's name, a template, words, a placeholder."""


def kind_of_secret(text: str) -> str | None:
    """The kind of secret that `text` contains, such as "an OpenAI key", by the formats of known keys; else None."""
    if _PRIVATE_KEY.search(text):
        return "a private key"
    for kind, pattern in _ANY_KIND:
        if pattern.search(text):
            return kind
    return "a password in a URL" if _PASSWORD_IN_URL.search(text) else None


def literal_secrets(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Path and kind of all literal secrets in `data`: values of known formats, and texts under names that say so."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [((*path, str(key)), inner) for key, inner in cast("Mapping[str, Any]", value).items()]
        elif isinstance(value, list):
            pending += [((*path, index), inner) for index, inner in enumerate(cast("list[Any]", value))]
        elif isinstance(value, str):
            kind = kind_of_secret(value) or _named(path, value)
            if kind is not None:
                yield path, kind


def _named(path: tuple[str | int, ...], value: str) -> str | None:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if not _NAME_OF_SECRET.fullmatch(name) or len(value) < 6 or _NO_LITERAL.fullmatch(value):
        return None
    return None if _REFERENCE.fullmatch(value) else f'a literal "{name}"'
