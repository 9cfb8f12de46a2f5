"""Signed webhooks, as https://www.standardwebhooks.com describes them (specification 1.0.0)."""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from caxton.domain.channels import Channel
from caxton.domain.errors import ChannelFailed, ChannelUnreachable

TIMEOUT = 10.0
"""Seconds for one attempt."""

PASSING = frozenset({408, 425, 429})
"""Answers of a client's fault that another attempt may not meet; every other 4xx ends the attempts."""


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature`: "v1," and the base64 of HMAC-SHA256 over id, time and body.

    Args:
        secret: base64, perhaps behind "whsec_".
        message_id: the same for every attempt, so that the receiver can drop repetitions.
        timestamp: seconds since the epoch.
        body: as it is sent.
    """
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def secret_problem(channel: Channel) -> str | None:
    """Why notices of `channel` could not be signed; None if they can."""
    if channel.secret_env is None:
        return None
    secret = os.environ.get(channel.secret_env, "")
    if not secret:
        return f"the environment variable {channel.secret_env} is not set"
    try:
        base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return f"what {channel.secret_env} holds is not base64"
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
    if channel.secret_env is not None:
        problem = secret_problem(channel)
        if problem is not None:
            raise ChannelUnreachable(problem)
        secret = os.environ[channel.secret_env]
        headers["webhook-signature"] = sign(secret, message_id, moment, body)
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
            response = await client.post(channel.url, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise ChannelUnreachable(f"no answer ({type(error).__name__})") from error
    status = response.status_code
    if response.is_success:
        return status
    passing = status >= 500 or status in PASSING
    raise (ChannelUnreachable if passing else ChannelFailed)(f"it answered {status}")
