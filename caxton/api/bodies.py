"""Bodies in memory: how many bytes of requests the server holds at a time, in all and of one customer.

Small bodies are not counted: connections bound them. Of a large one its whole length is taken before a byte is read, so that
the refusal costs nothing; of one that does not say its length, as it comes.
"""

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from starlette.types import Message, Receive

from caxton.api.services import ApiLimits
from caxton.domain.errors import Overloaded, PayloadTooLarge
from caxton.domain.files import FILE_LIMIT
from caxton.domain.quantities import format_size

SMALL = 64 << 10
"""Bytes up to which a body is not counted."""

UPLOAD = 1 << 20
"""Bytes that an upload is counted for: it goes to the disk as it comes, and only its buffers are held."""

FRAME = 320 << 10
"""Bytes that a message may have beside its content: 256 KiB of variables, and some more."""

MESSAGES = "/messages"
BLOBS = "/v1/blobs/"
FILES = "/v1/files"


class Bodies:
    """Counts the bodies of all requests, and refuses what is too large or too much."""

    def __init__(self, limits: ApiLimits) -> None:
        """Keep to `limits`."""
        self._limits = limits
        largest = max(limits.content_bytes + FRAME, limits.request_bytes, FILE_LIMIT)
        self._most = max(limits.bodies_bytes, largest)
        self._most_of_one = max(self._most // 2, largest)
        self._all = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def reading(self, path: str, headers: Mapping[str, str], customer: str, receive: Receive) -> Generator[Receive]:
        """`receive` for a request of `customer`, within limits; what it takes is given back at the end.

        Raises:
            PayloadTooLarge: the body is larger than the path takes, at the latest when it turns out to be.
            Overloaded: too much is in progress.
        """
        length = headers.get("content-length")
        chunked = "transfer-encoding" in headers
        if not chunked and (length is None or int(length) <= SMALL):
            yield receive  # the connection sees to it that no more comes
            return
        limit = self._limit(path)
        if length is not None and int(length) > limit:
            raise _too_large(limit)
        taken = seen = 0

        def take(count: int) -> None:
            nonlocal taken
            self._take(customer, count)
            taken += count

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            if seen > max(taken, SMALL) and not is_upload:
                take(seen - taken)
            return message

        is_upload = path.startswith(BLOBS)
        try:
            if is_upload:
                take(UPLOAD)
            elif length is not None:
                take(int(length))
            yield limited if chunked else receive
        finally:
            self._give(customer, taken)

    def _take(self, customer: str, count: int) -> None:
        if self._all + count > self._most or self._of[customer] + count > self._most_of_one:
            raise Overloaded(
                "more large requests arrive than the server holds at a time",
                "send them one after another",
                retry_after=1.0,
            )
        self._all += count
        self._of[customer] += count

    def _give(self, customer: str, count: int) -> None:
        self._all -= count
        self._of[customer] -= count
        if not self._of[customer]:
            del self._of[customer]

    def _limit(self, path: str) -> int:
        if path.startswith(BLOBS):
            return self._limits.blob_bytes
        if path == FILES:
            return FILE_LIMIT
        return self._limits.content_bytes + FRAME if path.endswith(MESSAGES) else self._limits.request_bytes


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the request is larger than {format_size(limit)}",
        "send less, or raise the limits in [limits] of the server's caxton.toml",
        details={"limit": limit},
    )
