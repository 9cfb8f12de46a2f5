"""Tokens of an identity provider, in place of API keys: what a verified token says, and who verifies it."""

from dataclasses import dataclass
from typing import Protocol

from caxton.domain.permissions import KeyGrant


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Whom a verified token stands for."""

    id: str
    """The same for each token of the same subject."""
    customer: str
    name: str
    grants: tuple[KeyGrant, ...]
    expires: float
    """Seconds since the epoch."""


class TokenVerifier(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> TokenIdentity:
        """Whom the token stands for.

        Raises:
            TokenRefused: it is not valid, or nobody here.
            IdentityProviderUnavailable: the provider's keys are not known and cannot be fetched.
        """
        ...


def is_token(text: str) -> bool:
    """Whether `text` looks like a JSON Web Token, and so like no API key."""
    return text.startswith("eyJ") and text.count(".") == 2
