"""Variables that no tool gets, whatever its manifest asks for and whatever an operator grants.

The rule is by name, so that it holds for secrets that Caxton knows nothing of. A name that begins with ``TOOL_`` says
that somebody made the variable for tools: such a variable may be granted whatever the rest of its name says, unless
Caxton's own settings use it.
"""

import re
from collections.abc import Collection
from typing import Final

FOR_TOOLS: Final = "TOOL_"
"""With what the names of variables begin that are made for tools."""

OF_SYSTEMS: Final = (
    *(
        "CAXTON",
        "TEMPORAL",
        "OTEL",
        "PG",
        "AWS",
        "AZURE",
        "ARM_",
        "GOOGLE",
        "GCP",
        "GCLOUD",
        "CLOUDSDK",
        "DIGITALOCEAN",
    ),
    *("KUBE", "DOCKER", "VAULT", "GITHUB", "GITLAB", "OPENAI", "ANTHROPIC", "SSH_", "LD_", "DYLD_", "PYTHON"),
)
"""With what the names of variables begin that configure Caxton, a database, a cloud, a provider or the process itself."""

OF_SECRETS: Final = (
    "KEY",
    "SECRET",
    "TOKEN",
    "PASS",
    "PWD",
    "CREDENTIAL",
    "PRIVATE",
    "AUTH",
    "COOKIE",
    "SESSION",
    "CERT",
)
"""What the names of secrets contain."""

OF_ADDRESSES: Final = (
    "DSN",
    "DATABASE",
    "POSTGRES",
    "MYSQL",
    "MARIADB",
    "MONGO",
    "REDIS",
    "AMQP",
    "PROXY",
    "CONNECTION",
)
"""What the names of addresses contain that carry a password, such as `DATABASE_URL`."""

_PASSWORD_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*:[^/?#\s]*@")


def names_a_secret(name: str) -> bool:
    """Whether the name of a variable says that it holds a secret, be it one that was made for tools."""
    return any(word in name.upper() for word in OF_SECRETS)


def variable_problem(name: str, used_by_caxton: Collection[str] = (), value: str | None = None) -> str | None:
    """Why no tool gets the environment variable; None if an operator may grant it.

    Args:
        name: of the variable.
        used_by_caxton: names of variables that the server's settings refer to.
        value: what it is set to, where that is known; never part of the answer.
    """
    upper = name.upper()
    if upper in {used.upper() for used in used_by_caxton}:
        return "the server's own settings use it"
    if upper.startswith("CAXTON"):
        return "it is one of Caxton's own settings"
    if upper.startswith(FOR_TOOLS):
        return None
    if upper.startswith(OF_SYSTEMS):
        return "it is for the server itself or the systems that it runs on"
    if any(word in upper for word in OF_SECRETS):
        return f"its name says that it is a secret; one made for tools has a name that begins with {FOR_TOOLS}"
    if any(word in upper for word in OF_ADDRESSES) or (value is not None and _PASSWORD_IN_URL.search(value)):
        return f"it may hold a password; one made for tools has a name that begins with {FOR_TOOLS}"
    return None
