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
        secret: "whsec_" and base64, or any text, whose bytes are then the key.
        message_id: the same for every attempt, so that the receiver can drop repetitions.
        timestamp: seconds since the epoch.
        body: as it is sent.
    """
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded, validate=True) if secret.startswith("whsec_") else secret.encode()
    except binascii.Error:
        key = secret.encode()
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


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
        secret = os.environ.get(channel.secret_env)
        if not secret:
            raise ChannelUnreachable(f"the environment variable {channel.secret_env} is not set")
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
