"""Models, which are capabilities and agents; and embeddings, by the model that memories are found with."""

import base64
import struct
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse, Response

from caxton.api.openai_face.bodies import EmbeddingsBody, read_body
from caxton.api.services import Services
from caxton.api.targets import AGENT
from caxton.domain.errors import InvalidInput, MemoryUnavailable, NotFound
from caxton.service.context import Caller

OWNER = "caxton"

LONGEST_TEXTS = 256 << 10
"""Bytes of all texts of one request: it takes some seconds of CPU to embed so much."""


async def list_models(caller: Caller, services: Services) -> Response:
    """Answers `GET /models`."""
    async with services.long_answers.turn(caller.scope.customer):
        return JSONResponse({"object": "list", "data": await _models(caller, services)})


async def show_model(caller: Caller, services: Services, name: str) -> Response:
    """Answers `GET /models/{model}`.

    Raises:
        NotFound: there is no such model.
    """
    wanted = name.partition("@")[0]
    async with services.long_answers.turn(caller.scope.customer):
        found = next((model for model in await _models(caller, services) if model["id"] == wanted), None)
    if found is None:
        raise NotFound(f'there is no model "{name[:100]}"', "see GET /openai/v1/models", details={"param": "model"})
    return JSONResponse({**found, "id": name})


async def _models(caller: Caller, services: Services) -> list[dict[str, Any]]:
    capabilities = await services.agents.capabilities(caller, None)
    agents = await services.agents.list_agents(caller)
    found = [_model(each.name, each.description) for each in capabilities]
    found += [_model(f"{AGENT}{each.name}", each.description) for each in agents]
    with suppress(MemoryUnavailable):  # a server without memory has none
        found.append(_model(services.memory.memories.embedder.id, "Embeddings."))
    return found


def _model(name: str, description: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER, "description": description}


async def embed(caller: Caller, services: Services, content: bytes) -> Response:
    """Answers `POST /embeddings`.

    Raises:
        InvalidInput: the texts are none, or too long.
        MemoryUnavailable: the server has no embedder, or it cannot be reached.
    """
    body = read_body(EmbeddingsBody, content)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput("texts are embedded, not tokens", details={"param": "input"})
    if sum(len(text.encode(errors="replace")) for text in texts) > LONGEST_TEXTS:
        raise InvalidInput("the texts are too long together", "send fewer at a time", details={"param": "input"})
    memories = services.memory.memories
    embedder = memories.embedder
    if body.dimensions not in (None, embedder.dimensions):
        raise InvalidInput(f"vectors have {embedder.dimensions} dimensions here", details={"param": "dimensions"})
    if body.model != embedder.id:
        raise NotFound(
            f'there is no model "{body.model[:100]}" for embeddings',
            f'it is "{embedder.id}" here',
            details={"param": "model"},
        )
    vectors = await memories.embed(caller.scope, texts)
    tokens = sum(1 + len(text) // 4 for text in texts)
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(vector, body.encoding_format)}
        for number, vector in enumerate(vectors)
    ]
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": embedder.id, "usage": used})


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    """A vector as numbers, or as the Base64 of 32-bit floats, which OpenAI's own clients ask for."""
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
