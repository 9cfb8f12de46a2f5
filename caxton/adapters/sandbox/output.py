"""What commands write."""


class Output:
    """What a command writes to one of its streams, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.content = bytearray()
        self.overflowed = False
        self._limit = limit

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self._limit - len(self.content)

    def write(self, data: bytes) -> bool:
        """Keeps `data`; False when there is more than fits."""
        room = self.room
        self.content += data[:room]
        if len(data) > room:
            self.overflowed = True
        return len(data) <= room
