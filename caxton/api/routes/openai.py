"""The routes for clients of OpenAI's API. What they do is loaded with the first request that wants it."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from caxton.api.guard import GuardedRoute, needs
from caxton.api.routes.messages import IdempotencyKey
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.permissions import Permission

router = APIRouter(route_class=GuardedRoute, prefix="/openai/v1", tags=["OpenAI"])

_JSON = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}


def _body(example: dict[str, Any]) -> dict[str, Any]:
    """The description of a body: OpenAI's own, which this does not repeat."""
    schema = {"type": "object", "additionalProperties": True}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _answers(what: str, *, streams: bool = False) -> dict[int | str, dict[str, Any]]:
    content = {**_JSON, **({"text/event-stream": {"schema": {"type": "string"}}} if streams else {})}
    return {200: {"description": what, "content": content}}


def _streams(request: Request) -> bool:
    """Whether the answer may be a stream, which HTTP/1.0 cannot tell."""
    return request.scope["http_version"] != "1.0"


ConversationHeader = Annotated[
    str | None,
    Header(
        alias="X-Caxton-Conversation",
        min_length=1,
        max_length=100,
        description='The conversation that the request goes on with; "new" begins one. Without it the request is one-shot.',
    ),
]
ModelName = Annotated[str, Path(min_length=1, max_length=300)]
ResponseName = Annotated[str, Path(min_length=1, max_length=100)]


@router.get("/models", response_class=Response, responses=_answers("OpenAI's list of models."))
@needs(Permission.AGENTS_READ)
async def models(caller: CurrentCaller, services: UseCases) -> Response:
    """Capabilities, and agents as `agent:NAME`, as OpenAI lists models."""
    from caxton.api.openai_face.models import list_models

    return await list_models(caller, services)


@router.get("/models/{model}", response_class=Response, responses=_answers("OpenAI's model."))
@needs(Permission.AGENTS_READ)
async def model(model: ModelName, caller: CurrentCaller, services: UseCases) -> Response:
    """One capability or agent."""
    from caxton.api.openai_face.models import show_model

    return await show_model(caller, services, model)


@router.post(
    "/chat/completions",
    response_class=Response,
    responses=_answers("OpenAI's chat completion, or its chunks.", streams=True),
    openapi_extra=_body({"model": "fetch-data", "messages": [{"role": "user", "content": "How did sales develop?"}]}),
)
@needs(Permission.MESSAGES_SEND)
async def chat_completions(
    request: Request,
    caller: CurrentCaller,
    services: UseCases,
    idempotency_key: IdempotencyKey = None,
    conversation: ConversationHeader = None,
) -> Response:
    """Asks for a capability, or an agent, as clients of OpenAI's API ask a model."""
    from caxton.api.openai_face.chat import complete

    body = await request.body()
    streams = _streams(request)
    return await complete(caller, services, body, key=idempotency_key, conversation=conversation, streams=streams)


@router.post(
    "/responses",
    response_class=Response,
    responses=_answers("OpenAI's response, or its events.", streams=True),
    openapi_extra=_body({"model": "fetch-data", "input": "How did sales develop?"}),
)
@needs(Permission.MESSAGES_SEND)
async def responses(
    request: Request, caller: CurrentCaller, services: UseCases, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same as a response, with which the next one can go on by `previous_response_id`."""
    from caxton.api.openai_face.responses import create

    return await create(caller, services, await request.body(), key=idempotency_key, streams=_streams(request))


@router.get(
    "/responses/{response_id}",
    response_class=Response,
    responses=_answers("OpenAI's response, or its events.", streams=True),
)
@needs(Permission.MESSAGES_READ)
async def response(
    request: Request,
    response_id: ResponseName,
    caller: CurrentCaller,
    services: UseCases,
    stream: Annotated[bool, Query(description="Its events from the beginning, and those that follow.")] = False,
    starting_after: Annotated[int | None, Query(description="Refused: how a text comes in pieces is not kept.")] = None,
) -> Response:
    """A response as it stands: in progress, completed or failed."""
    from caxton.api.openai_face.responses import follow, retrieve

    if not stream:
        return await retrieve(caller, services, response_id)
    return await follow(caller, services, response_id, starting_after, streams=_streams(request))


@router.post(
    "/responses/{response_id}/cancel", response_class=Response, responses=_answers("OpenAI's response, cancelled.")
)
@needs(Permission.CONVERSATIONS_END)
async def cancel_response(response_id: ResponseName, caller: CurrentCaller, services: UseCases) -> Response:
    """Ends the work on a response; what it goes on with stays. A response that has ended stays as it is."""
    from caxton.api.openai_face.responses import cancel

    return await cancel(caller, services, response_id)


@router.post(
    "/embeddings",
    response_class=Response,
    responses=_answers("OpenAI's embeddings."),
    openapi_extra=_body({"model": "minilm-l6-v2-int8-1", "input": "Sales grew in spring"}),
)
@needs(Permission.MEMORY_READ)
async def embeddings(request: Request, caller: CurrentCaller, services: UseCases) -> Response:
    """Vectors of texts, by the model that memories are found with."""
    from caxton.api.openai_face.models import embed

    return await embed(caller, services, await request.body())
