"""Files that go with messages."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from caxton.api.guard import GuardedRoute, needs
from caxton.api.openapi import BYTES
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.files import KINDS, LONGEST_NAME, FileKind
from caxton.domain.given import GivenText
from caxton.domain.permissions import Permission
from caxton.domain.tools import Artifact

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["messages"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TYPES = (BYTES, *(media_type for media_type, kind in KINDS.items() if kind is not FileKind.TEXT))
"""What a body may say that it is. It counts what it is; texts come as bytes, for pages of other sites can send them unasked."""


@router.post(
    "/files",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(_TYPES, _BINARY)}},
)
@needs(Permission.MESSAGES_SEND)
async def upload(
    request: Request,
    caller: CurrentCaller,
    services: UseCases,
    name: Annotated[
        GivenText | None, Query(max_length=LONGEST_NAME, description="What it is called; it tells texts apart.")
    ] = None,
) -> Artifact:
    """Stores a file, so that messages of the workspace can refer to it by its `digest`.

    Its first bytes say what it is. Images, recordings, PDF and texts are taken.
    """
    return await services.files.keep(caller, await request.body(), name or "")
