"""Signed webhooks, as https://www.standardwebhooks.com describes them (specification 1.0.0)."""

import json
import time
from collections.abc import Mapping
from typing import Any

from caxton.adapters.delivering import deliver
from caxton.adapters.secrets import SECRETS
from caxton.domain.channels import Channel
from caxton.domain.errors import ChannelUnreachable, InvalidSettings, SecretMissing
from caxton.domain.hook_signatures import key_of, sign_standard
from caxton.domain.surroundings import client_options
from caxton.domain.triggers import Scheme

TIMEOUT = 10.0
"""Seconds for one attempt."""


def secret_problem(channel: Channel) -> str | None:
    """Why notices of `channel` could not be signed; None if they can."""
    if channel.secret is None:
        return None
    try:
        secret = SECRETS.get(channel.secret).get_secret_value()
        key_of(Scheme.STANDARD, secret)
    except SecretMissing as error:
        return error.message
    except ValueError as error:
        return f"what {channel.secret.removeprefix('env:')} holds is no secret to sign with: {error}"
    return None


async def post(channel: Channel, message_id: str, payload: Mapping[str, Any]) -> int:
    """Sends `payload` once. Returns the HTTP status of a channel that took it.

    Raises:
        ChannelUnreachable: it may take it the next time.
        ChannelFailed: it refused.
    """
    import httpx

    body = json.dumps(payload, separators=(",", ":")).encode()
    moment = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": "caxton",
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
    }
    if channel.secret is not None:
        problem = secret_problem(channel)
        if problem is not None:
            raise ChannelUnreachable(problem)
        secret = SECRETS.get(channel.secret).get_secret_value()
        headers["webhook-signature"] = sign_standard(secret, message_id, moment, body)
    try:
        options = client_options(channel.url)
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, **options) as client:
            request = client.build_request("POST", channel.url, content=body, headers=headers)
            return await deliver(client, request, TIMEOUT)
    except InvalidSettings as error:
        raise ChannelUnreachable(error.message, *error.hints) from None
