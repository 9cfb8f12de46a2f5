"""Label values that come from users, kept to a number that a metrics store can bear."""

OTHER = "other"
"""Stands for every value beyond the limit."""

UNKNOWN = "unknown"
"""Stands for a value that is empty: Prometheus takes an empty label for a missing one."""


HTTP_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
"""A client may send any word as its method; others count as one."""


class BoundedValues:
    """Lets the first values through and calls all later ones "other".

    Each value of a label is a time series (in a histogram: twenty) that is never forgotten, so whoever can invent
    names, such as those of agents, could otherwise fill the memory of this process and of the metrics store.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` distinct values."""
        self.limit = limit
        self._known: set[str] = set()

    def admit(self, value: str) -> str:
        """`value` itself, or what stands for it."""
        if value in self._known:
            return value
        if not value:
            return UNKNOWN
        if len(self._known) >= self.limit:
            return OTHER
        self._known.add(value)
        return value
