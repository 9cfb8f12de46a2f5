"""Takes out of a text what looks like a secret. Logs pass through here, whoever wrote them."""

import re

REDACTED = "[redacted]"

MESSAGE_LIMIT = 2_000
"""Characters of a log message: a library may log a whole request, contents included."""

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"cx_[\w-]{8,}"  # Caxton's own keys
    r"|sk-[\w-]{8,}"  # OpenAI, Anthropic, OpenRouter …
    r"|(?:gh[opsu]|github_pat|glpat|hf|gsk|pplx|xai)[_-]\w[\w-]{15,}"
    r"|xox[abeprs]-[\w-]{8,}"
    r"|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)"
)

_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"',;)\]}]+")

# A name that speaks of a secret, then its value: in JSON, in a header, in a query string, in the repr of a pair.
_NAMED = re.compile(
    r"(?i)((?:authorization|api[_-]?key|secret(?:key)?|access[_-]?key|passw(?:or)?d|passphrase|credentials?|token(?!s)"
    r"|(?<![a-z])key)(?:[_-][\w-]{0,40})?(?:\\?[\"']?\s*[:=]\s*|\\?[\"']\s*,\s*)(?:b(?=[\"']))?)"
    r"(\\?\"[^\"]*\"?|'[^']*'?|(?:(?:bearer|basic|digest|token)\s+)?[^\s\"',;&)\]}]+)"
)

SHORTEST = 8
"""Characters of a secret that is known by its text; a shorter one may be part of any word."""

_known: set[str] = set()


def never_show(secret: str) -> None:
    """From now on `secret` is taken out of every text that passes here, whatever stands round it."""
    if len(secret) >= SHORTEST:
        _known.add(secret)


_IN_URL = re.compile(r"(://)[^\s/@:\"']*:[^\s/@\"']+@")


def redact(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` without what looks like a secret, cut at `limit` characters."""
    # Cut twice: far beyond the limit to bound the work, at the limit only afterwards, so that no secret is cut in half
    # and then no longer looks like one.
    shown = text[: 2 * limit]
    for secret in _known:
        shown = shown.replace(secret, REDACTED)
    shown = _IN_URL.sub(rf"\1{REDACTED}@", shown)
    shown = _NAMED.sub(rf"\1{REDACTED}", shown)
    shown = _BEARER.sub(rf"\1{REDACTED}", shown)
    shown = _TOKENS.sub(REDACTED, shown)
    if len(shown) > limit or len(text) > 2 * limit:
        shown = f"{shown[:limit]}… ({len(text)} characters)"
    return shown
