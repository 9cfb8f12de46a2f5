"""Disk usage."""

from caxton.views.retention import KindView
from caxton.views.view import View


class PartSize(View):
    """Room that one part takes."""

    name: str
    bytes: int
    free: int | None = None
    """Of those, what is free within it, and used again before it grows."""
    shrinks: bool | None = None
    """Whether what is free goes back to the disk by and by, but for a reserve; null where nothing is told of it."""


class OwnSizes(View):
    """Usage of the workspace and of its customer."""

    rows: dict[str, int]
    """Rows in the database by table; `events` are those of all workspaces of the customer, less what is detached."""
    blobs: int
    """Bytes of contents, of all workspaces of the customer."""
    memory: int | None
    """Bytes of the workspace's memories; None where that is not known."""
    archive: int
    """Bytes of segments of the customer's log that have left the database, wherever their files are."""


class StorageView(View):
    """Disk usage."""

    own: OwnSizes
    older: list[KindView]
    """Data that retention deletes next."""
    server: list[PartSize] | None = None
    """Room on the server's disk, of all customers; for those who may inspect the server."""
    tables: dict[str, int] | None = None
    """Bytes of tables with their indices, of all customers, if they were asked for and the database tells."""
    limit: int | None = None
    """Bytes that the data folder may have."""
