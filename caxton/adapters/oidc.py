"""Verifies tokens of an identity provider with PyJWT and the keys that the provider publishes."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, cast

from caxton.adapters.oidc_settings import OidcSettings, read_grant
from caxton.domain.errors import IdentityProviderUnavailable, InvalidSettings, TokenRefused
from caxton.domain.ids import derived_id, is_name
from caxton.domain.permissions import KeyGrant
from caxton.domain.tokens import TokenIdentity

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER = 10.0
"""Seconds between two requests for keys because a token names one that is not known: tokens are cheap to make up."""

LARGEST = 1 << 20
"""Bytes of the provider's keys."""

LONGEST = 16 << 10
"""Characters of a token."""

MOST_KNOWN = 10_000

TIMEOUT = 5.0

Jwk = Mapping[str, Any]


class Oidc:
    """Verifies tokens of one provider. Tokens that were found good are remembered until they expire."""

    def __init__(self, settings: OidcSettings) -> None:
        """Accept what `settings` say.

        Raises:
            InvalidSettings: they are not complete.
        """
        if settings.problem is not None:
            raise InvalidSettings(f"auth.oidc: {settings.problem}")
        self._settings = settings
        self._grants = {value: [read_grant(text) for text in texts] for value, texts in settings.roles.items()}
        self._keys: list[Jwk] = []
        self._read_at = self._asked_at = float("-inf")
        self._reading = asyncio.Lock()
        self._known: dict[bytes, TokenIdentity] = {}

    async def verify(self, token: str) -> TokenIdentity:
        """Whom a token stands for.

        Raises:
            TokenRefused: it is not valid, or names nobody here.
            IdentityProviderUnavailable: the provider's keys are not known and cannot be fetched.
        """
        place = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = self._known.get(place)
        fresh = time.monotonic() - self._read_at < self._settings.keys_for
        if found is None or not fresh or found.expires + self._settings.leeway <= time.time():
            found = await self._verify(token)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[place] = found
        return found

    async def _verify(self, token: str) -> TokenIdentity:
        import jwt

        settings = self._settings
        if len(token) > LONGEST:
            raise TokenRefused("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:
                raise TokenRefused("the token demands an extension that is not known here")
            if header.get("alg") not in settings.algorithms:
                raise TokenRefused("the token is signed with an algorithm that is not accepted")
            key = await self._key(header.get("kid"), str(header["alg"]))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway,
                options={"require": ["exp", "iss", "aud", "sub"], "strict_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise TokenRefused("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise TokenRefused("the token is of another issuer") from None
        except jwt.ImmatureSignatureError:
            raise TokenRefused("the token is not valid yet") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenRefused(f"the token lacks the claim {error.claim}") from None
        except jwt.PyJWTError:
            raise TokenRefused("the token is not valid") from None
        return self._identity(claims)

    def _identity(self, claims: Mapping[str, Any]) -> TokenIdentity:
        settings = self._settings
        customer = settings.customer or _claim(claims, settings.customer_claim or "")
        if not isinstance(customer, str) or not is_name(customer):
            raise TokenRefused("the token names no customer")
        if settings.customer is None and customer not in settings.customers:
            raise TokenRefused("the token names a customer that its issuer does not speak for")
        held = _texts(_claim(claims, settings.roles_claim))
        grants = [grant for value in held for grant in self._grants.get(value, [])]
        if settings.workspaces_claim is not None:
            allowed = [each for each in _texts(_claim(claims, settings.workspaces_claim)) if is_name(each)]
            grants = _limited(grants, allowed)
        subject, named = str(claims["sub"]), _claim(claims, settings.name_claim)
        name = named if isinstance(named, str) and named else subject
        shown = "".join(letter for letter in name if letter.isprintable() and letter != ":")[:60]
        return TokenIdentity(
            id=derived_id("sub", settings.issuer or "", subject),
            customer=customer,
            name=f"oidc/{shown}",
            grants=tuple(dict.fromkeys(grants)),
            expires=float(claims["exp"]),
        )

    async def _key(self, kid: object, algorithm: str) -> Any:
        """The key that a token names, as PyJWT wants it."""
        from jwt import PyJWK, PyJWTError

        await self._refresh(self._settings.keys_for)
        found = self._find(kid, algorithm)
        if found is None:  # the provider may have made a new one
            await self._refresh(ASK_AGAIN_AFTER)
            found = self._find(kid, algorithm)
        if found is None:
            raise TokenRefused("the token is signed with a key that its issuer does not have")
        try:
            return PyJWK(dict(found), found.get("alg") or algorithm)
        except PyJWTError:
            raise TokenRefused("the token's algorithm does not go with its key") from None

    def _find(self, kid: object, algorithm: str) -> Jwk | None:
        usable = [
            key
            for key in self._keys
            if key.get("use", "sig") == "sig" and key.get("kty") != "oct" and key.get("alg", algorithm) == algorithm
        ]
        if kid is None:
            return usable[0] if len(usable) == 1 else None
        return next((key for key in usable if key.get("kid") == kid), None)

    async def _refresh(self, age: float) -> None:
        """Gets the keys again if they are older than `age`; if that fails, those that are known go on being used."""
        now = time.monotonic()
        if now - self._read_at < age or (self._keys and now - self._asked_at < ASK_AGAIN_AFTER):
            return
        async with self._reading:
            if time.monotonic() - self._read_at < age:
                return
            if not self._keys and time.monotonic() - self._asked_at < 1.0:
                raise self._unavailable()  # one request a second asks a provider that is away, not each
            self._asked_at = time.monotonic()
            try:
                content = await self._read()
                found = json.loads(content)["keys"]
                if not isinstance(found, list):
                    raise TypeError("keys is not a list")
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("the identity provider's keys could not be read: %s", type(error).__name__)
                if not self._keys:
                    raise self._unavailable() from None
                return
            keys = [cast("Jwk", key) for key in cast("list[object]", found) if isinstance(key, dict)]
            if keys != self._keys:
                self._known.clear()  # a key that is gone must not go on working
            self._keys, self._read_at = keys, time.monotonic()

    def _unavailable(self) -> IdentityProviderUnavailable:
        return IdentityProviderUnavailable(
            "the keys of the identity provider cannot be read now", "try again in a moment", retry_after=5.0
        )

    async def _read(self) -> bytes:
        settings = self._settings
        if settings.jwks_file is not None:
            return await asyncio.to_thread(settings.jwks_file.read_bytes)
        import httpx

        assert settings.jwks_url is not None
        try:
            async with (
                httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client,
                client.stream("GET", settings.jwks_url) as answer,
            ):
                answer.raise_for_status()
                content = b""
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > LARGEST:
                        raise ValueError("too large")
                return content
        except httpx.HTTPError as error:
            raise OSError(str(error)) from None


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """The claim of that name, or what a path of names leads to."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, object]", found).get(part)
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [each for each in cast("list[object]", value) if isinstance(each, str)] if isinstance(value, list) else []


def _limited(grants: list[KeyGrant], allowed: list[str]) -> list[KeyGrant]:
    """`grants` where both they and a token's own claim hold."""
    found: list[KeyGrant] = []
    for grant in grants:
        workspaces = [each for each in allowed if grant.covers(each)]
        if workspaces:
            found.append(KeyGrant(role=grant.role, workspaces=tuple(dict.fromkeys(workspaces))))
    return found
