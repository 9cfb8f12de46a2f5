"""Temporal's remote codec: shows people in its UI what the engine keeps encrypted.

https://docs.temporal.io/production-deployment/data-encryption. Payloads are JSON as protobuf writes it.
"""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.permissions import Permission

router = APIRouter(route_class=GuardedRoute, prefix="/codec", tags=["engine"])


class CodecPayloads(BaseModel):
    """Payloads of the engine."""

    model_config = ConfigDict(extra="forbid")

    payloads: list[dict[str, Any]] = Field(max_length=2_000)


@router.post("/decode")
@needs(Permission.PAYLOADS_DECODE)
async def decode(body: CodecPayloads, caller: CurrentCaller, services: UseCases) -> CodecPayloads:
    """Decrypts payloads of the engine. Who does is in the event log."""
    return CodecPayloads(payloads=await services.codec.decode(caller, body.payloads))


@router.post("/encode")
@needs(Permission.PAYLOADS_DECODE)
async def encode(body: CodecPayloads, caller: CurrentCaller, services: UseCases) -> CodecPayloads:
    """Encrypts payloads, for what people start from Temporal's UI or command line."""
    return CodecPayloads(payloads=await services.codec.encode(caller, body.payloads))
