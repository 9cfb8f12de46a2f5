"""Push notifications over HTTP: to addresses that an operator lets them go to, checked after their names were resolved."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from caxton.adapters.delivering import deliver
from caxton.adapters.sandbox.addresses import Check, Unreachable, is_public, literal, resolve
from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import ChannelFailed, ChannelUnreachable, InvalidSettings
from caxton.domain.hook_signatures import sign_standard
from caxton.domain.push import PushConfig, PushPolicy
from caxton.domain.surroundings import tls_context

TIMEOUT: Final = 15.0
"""Seconds for one attempt."""

RESOLVE: Final = 5.0
"""Seconds that resolving a name may take."""

MEDIA_TYPE: Final = "application/a2a+json"

TOKEN: Final = "X-A2A-Notification-Token"  # noqa: S105 - the name of a header


class PushSender:
    """Sends push notifications."""

    def __init__(self, policy: PushPolicy, check: Check, secret: str | None) -> None:
        """Send where `policy` allows.

        Args:
            policy: where they may go.
            check: refuses addresses that nothing of the server's may call.
            secret: reference to the secret that deliveries are signed with; None for none.
        """
        self._policy = policy
        self._check = check
        self._secret = secret

    async def post(self, config: PushConfig, message_id: str, payload: Mapping[str, Any]) -> int:
        """Sends `payload` once. Returns the HTTP status of a receiver that took it.

        Raises:
            ChannelUnreachable: it may take it the next time.
            ChannelFailed: it refused, or nothing may be sent there.
        """
        import httpx

        body = json.dumps(payload, separators=(",", ":")).encode()
        host, addresses, port = await self._addresses(config.url)
        headers = {**_headers(config), **self._signed(config, message_id, body), "Host": host}
        try:
            is_tls = config.url.lower().startswith("https:")
            verify = tls_context() if is_tls else False
            async with httpx.AsyncClient(
                timeout=TIMEOUT, follow_redirects=False, trust_env=False, verify=verify
            ) as client:
                request = client.build_request("POST", config.url, content=body, headers=headers)
                name = urlsplit(config.url).hostname or ""
                request.url = request.url.copy_with(host=addresses[0], port=port)
                request.extensions["sni_hostname"] = name
                return await deliver(client, request, TIMEOUT)
        except InvalidSettings as error:
            raise ChannelUnreachable(error.message, *error.hints) from None
        except httpx.InvalidURL as error:
            raise ChannelUnreachable(f"no answer ({type(error).__name__})") from error

    async def _addresses(self, url: str) -> tuple[str, list[str], int | None]:
        """The Host of an address of the web, where that is, and its port.

        Raises:
            ChannelFailed: nothing may be sent there.
            ChannelUnreachable: the name cannot be resolved now.
        """
        problem = self._policy.problem(url)
        if problem is not None:
            raise ChannelFailed(f"nothing may be sent there: {problem}")
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
        named = self._policy.is_named(url)
        address = literal(name)
        if not named and (name == "localhost" or (address is not None and not is_public(address))):
            raise ChannelFailed("nothing may be sent there: it is a private address, and no operator has named it")
        wanted = port or (443 if parts.scheme == "https" else 80)
        try:
            found = await asyncio.to_thread(resolve, name, wanted, RESOLVE, self._check)
        except Unreachable as error:
            raise ChannelUnreachable(str(error)) from None
        return parts.netloc, found, port

    def _signed(self, config: PushConfig, message_id: str, body: bytes) -> dict[str, str]:
        """The headers of Standard Webhooks; the signatures are made with the client's token, and with the server's secret."""
        moment = int(time.time())
        headers = {"webhook-id": message_id, "webhook-timestamp": str(moment)}
        signatures: list[str] = []
        if config.token.startswith("whsec_"):
            with contextlib.suppress(ValueError):  # it only looks like a secret
                signatures.append(sign_standard(config.token, message_id, moment, body))
        if self._secret is not None:
            secret = SECRETS.get(self._secret).get_secret_value()
            signatures.append(sign_standard(secret, message_id, moment, body))
        if signatures:
            headers["webhook-signature"] = " ".join(signatures)
        return headers


def _headers(config: PushConfig) -> dict[str, str]:
    headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "caxton", "A2A-Version": "1.0"}
    if config.token:
        headers[TOKEN] = config.token
    if config.scheme:
        headers["Authorization"] = f"{config.scheme} {config.credentials}".strip()
    return headers
