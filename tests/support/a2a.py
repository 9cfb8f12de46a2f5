"""The official client of the A2A protocol, for tests."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from a2a.client import Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.types.a2a_pb2 import Message, Part, Role, SendMessageRequest, StreamResponse, Task
from google.protobuf.json_format import MessageToDict, ParseDict

from tests.conftest import RunningServer

EXTENSION = "urn:caxton:a2a:durable:1"

JSONRPC = "JSONRPC"
REST = "HTTP+JSON"


@asynccontextmanager
async def a2a_client(
    server: RunningServer,
    workspace: str,
    target: str = "",
    *,
    binding: str = JSONRPC,
    key: str | None = None,
    **options: Any,
) -> AsyncIterator[Client]:
    """The client of one capability or agent, or of a workspace, found by its card."""
    headers = {"Authorization": f"Bearer {key or server.api_key}", "X-Caxton-Workspace": workspace}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], **options)
        address = f"{server.url}/a2a/v1" + (f"/{target}" if target else "")
        yield await ClientFactory(config).create_from_url(address)


def said(text: str, **more: Any) -> Message:
    """A message with a text."""
    return Message(
        message_id=more.pop("message_id", uuid.uuid4().hex),
        role=Role.ROLE_USER,
        parts=[Part(text=text)],
        **more,
    )


def with_data(data: dict[str, Any], **more: Any) -> Message:
    """A message with data."""
    message = Message(message_id=uuid.uuid4().hex, role=Role.ROLE_USER, **more)
    message.parts.append(ParseDict({"data": data}, Part()))
    return message


async def send(client: Client, message: Message, **options: Any) -> Task:
    """Sends a message without a stream."""
    [response] = [each async for each in client.send_message(SendMessageRequest(message=message, **options))]
    assert response.HasField("task")
    return response.task


async def events(client: Client, message: Message, context: ClientCallContext | None = None) -> list[StreamResponse]:
    """Sends a message, and collects its stream."""
    request = SendMessageRequest(message=message)
    return [each async for each in client.send_message(request, context=context)]


def text_of(task: Task) -> str:
    """The text of a task's reply."""
    [reply] = [made for made in task.artifacts if made.artifact_id == "reply"]
    return "".join(part.text for part in reply.parts)


def plain(message: Any) -> dict[str, Any]:
    """A message of the protocol as JSON has it."""
    return MessageToDict(message)


def streamed_text(found: list[StreamResponse]) -> str:
    """What a client that follows the rules has of the reply when a stream ends."""
    text = ""
    for event in found:
        update = event.artifact_update
        if event.HasField("artifact_update") and update.artifact.artifact_id == "reply":
            piece = "".join(part.text for part in update.artifact.parts)
            text = text + piece if update.append else piece
    return text
