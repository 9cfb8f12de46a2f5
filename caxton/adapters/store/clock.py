"""Times as the store keeps them: whole microseconds since the epoch, in UTC."""

import time
from datetime import UTC, datetime


def now() -> int:
    """The present, in microseconds since the epoch."""
    return time.time_ns() // 1000


def to_datetime(microseconds: int) -> datetime:
    """The moment that `microseconds` names, in UTC."""
    return datetime.fromtimestamp(microseconds / 1_000_000, tz=UTC)


def optional_datetime(microseconds: int | None) -> datetime | None:
    """Like :func:`to_datetime`, for columns that may be empty."""
    return None if microseconds is None else to_datetime(microseconds)


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch of an aware `moment`."""
    return round(moment.timestamp() * 1_000_000)


def optional_from(moment: datetime | None) -> int | None:
    """Like :func:`from_datetime`, for moments that may be missing."""
    return None if moment is None else from_datetime(moment)
