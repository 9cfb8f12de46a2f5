"""`[auth.oidc]`: an identity provider whose tokens are accepted."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from caxton.domain.ids import Name
from caxton.domain.permissions import KeyGrant
from caxton.domain.quantities import Seconds

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a public key. "none", and HS256 and its like, whose key would be the public one, are not possible."""


def _number(value: Any) -> Any:
    """Seconds that come as text, as all values of the environment do."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


Duration = Annotated[Seconds, BeforeValidator(_number)]
Claim = Annotated[str, Field(min_length=1, max_length=200)]


class OidcSettings(BaseModel):
    """`[auth.oidc]`: an identity provider whose tokens (JWT) are accepted like API keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str | None = Field(
        default=None,
        min_length=1,
        description='The claim "iss" that tokens must have, exactly; without it API keys only.',
    )
    audience: str | None = Field(default=None, min_length=1, description='What the claim "aud" must contain.')
    jwks_url: str | None = Field(default=None, description="Where the provider publishes its keys (https).")
    jwks_file: Annotated[Path, BeforeValidator(_path)] | None = Field(
        default=None, description="A file with its keys instead, read again when it changes."
    )
    algorithms: list[Algorithm] = Field(
        default=["RS256", "ES256"], min_length=1, description="Signatures that are accepted."
    )
    customer: Name | None = Field(default=None, description="The customer that all its tokens are for.")
    customer_claim: Claim | None = Field(default=None, description="Or the claim that names the customer …")
    customers: list[Name] = Field(default=[], description="… which must be one of these.")
    name_claim: Claim = Field(default="sub", description='The claim that names people in the log, such as "email".')
    roles_claim: Claim = Field(
        default="roles", description='The claim with roles or groups; "." goes into an object: "realm_access.roles".'
    )
    workspaces_claim: Claim | None = Field(
        default=None, description="A claim that lists the workspaces that all roles are limited to."
    )
    roles: dict[str, list[str]] = Field(
        default={},
        max_length=500,
        description='For each value of that claim, roles here: "developer", or "developer:shop,lab" in workspaces.',
    )
    leeway: Duration = Field(default=30.0, ge=0, le=600, description="By how much clocks may differ.")
    keys_for: Duration = Field(default=600.0, ge=10, le=86_400, description="How long the provider's keys are kept.")

    @field_validator("jwks_url")
    @classmethod
    def _secure(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or parts.scheme not in (("http", "https") if local else ("https",)):
            raise ValueError("the provider's keys must come over https")
        return url

    @field_validator("roles")
    @classmethod
    def _readable(cls, roles: dict[str, list[str]]) -> dict[str, list[str]]:
        for texts in roles.values():
            for text in texts:
                read_grant(text)
        return roles

    @property
    def problem(self) -> str | None:
        """What is missing, or too much, for tokens of the issuer to be accepted."""
        if self.audience is None:
            return "give the audience that tokens must be for"
        if (self.jwks_url is None) == (self.jwks_file is None):
            return "give either jwks_url or jwks_file"
        if (self.customer is None) == (self.customer_claim is None):
            return "give either customer or customer_claim"
        if self.customer_claim is not None and not self.customers:
            return "list in customers whom customer_claim may name"
        return None


def read_grant(text: str) -> KeyGrant:
    """The role, and its workspaces after a colon, that `text` names."""
    role, colon, workspaces = text.partition(":")
    return KeyGrant(role=role, workspaces=tuple(workspaces.split(",")) if colon else None)
