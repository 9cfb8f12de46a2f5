"""Disk usage."""

from typing import Annotated

from fastapi import APIRouter, Query

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.permissions import Permission
from caxton.views.storage import StorageView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/storage", tags=["retention"])


@router.get("")
@needs(Permission.RETENTION_READ, also={Permission.SERVER_INSPECT: "for the whole server's room"})
async def storage(
    caller: CurrentCaller,
    services: UseCases,
    tables: Annotated[
        bool, Query(description="Also the size of each table; SQLite reads the whole database for that.")
    ] = False,
) -> StorageView:
    """How much space each kind of data takes, and what retention removes next."""
    return await services.storage.show(caller, tables=tables)
