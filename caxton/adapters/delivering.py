"""One delivery to somebody else's address: its status is all that is of interest, and it gets only so much time."""

import asyncio
from typing import TYPE_CHECKING, Final

from caxton.domain.errors import ChannelFailed, ChannelUnreachable

if TYPE_CHECKING:
    import httpx

PASSING: Final = frozenset({408, 425, 429})
"""Answers of a client's fault that another attempt may not meet; every other 4xx ends the attempts."""


async def deliver(client: "httpx.AsyncClient", request: "httpx.Request", within: float) -> int:
    """Sends `request` once, and reads nothing of the answer's body. Returns the HTTP status of a receiver that took it.

    Args:
        client: sends it.
        request: what is sent.
        within: seconds for all of it, however slowly the receiver goes on with its answer.

    Raises:
        ChannelUnreachable: it may take it the next time.
        ChannelFailed: it refused.
    """
    import httpx

    try:
        async with asyncio.timeout(within):
            response = await client.send(request, stream=True)
            await response.aclose()
    except TimeoutError:
        raise ChannelUnreachable(f"no answer within {within:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChannelUnreachable(f"no answer ({type(error).__name__})") from error
    status = response.status_code
    if response.is_success:
        return status
    passing = status >= 500 or status in PASSING
    raise (ChannelUnreachable if passing else ChannelFailed)(f"it answered {status}")
