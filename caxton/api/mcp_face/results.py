"""What becomes of a turn, as the result of a tool."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from caxton.api.mcp_face.errors import error_data, told
from caxton.api.mcp_face.wire import OWN_CONVERSATION, OWN_EXECUTION
from caxton.api.openai_face.asking import failure
from caxton.api.services import Services
from caxton.domain.errors import CaxtonError, ReplyPending
from caxton.domain.executions import TurnView
from caxton.domain.governance import Approval
from caxton.domain.ids import Scope
from caxton.domain.messages import TYPED
from caxton.domain.tools import Artifact
from caxton.recording.contents import unpack

LARGEST_FILE: Final = 1 << 20
"""Bytes of a file that is told with a result; of a larger one only its name."""

MOST_FILES: Final = 10
_TEXTS: Final = ("text/", "application/json", "image/svg+xml")


async def result_of(services: Services, scope: Scope, turn: TurnView) -> dict[str, Any]:
    """The result of a turn that has ended: its reply with its files, or why it failed."""
    if turn.state == "failed" or turn.reply is None:
        return error_result(failure(turn), turn)
    text = await unpack(services.blobs, scope, turn.reply.content)
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    content += [await _file(services, scope, each) for each in turn.reply.artifacts[:MOST_FILES]]
    result: dict[str, Any] = {"content": content, "isError": False, "_meta": _facts(turn)}
    if turn.reply.metadata.get(TYPED):
        result["structuredContent"] = json.loads(text)
    return result


def error_result(error: CaxtonError, turn: TurnView | None = None) -> dict[str, Any]:
    """The result of what went wrong, for a model to read."""
    meta = {**(_facts(turn) if turn else {}), "caxton/error": error_data(error, None)}
    return {"content": [{"type": "text", "text": told(error)}], "isError": True, "_meta": meta}


def with_conversation(result: Mapping[str, Any], conversation: str) -> dict[str, Any]:
    """A result that tells a model how to go on."""
    line = f'This is conversation {conversation}: give it as "conversation" to go on.'
    return {**result, "content": [*result["content"], {"type": "text", "text": line}]}


def not_yet(turn: TurnView, approval: Approval | None) -> ReplyPending:
    """The error for a turn that waits for somebody else, or takes longer than anybody waits."""
    waits = f"a person has to decide on it first: approval {approval.id}" if approval else "it takes longer"
    return ReplyPending(
        f"the answer is not there yet: {waits}",
        f"the agent goes on with it; its reply will be in the resource caxton://traces/{turn.execution_id}",
        details={
            "execution_id": turn.execution_id,
            "conversation_id": turn.conversation_id,
            "approval_id": approval.id if approval else None,
        },
    )


def _facts(turn: TurnView) -> dict[str, Any]:
    return {OWN_EXECUTION: turn.execution_id, OWN_CONVERSATION: turn.conversation_id}


async def _file(services: Services, scope: Scope, artifact: Artifact) -> dict[str, Any]:
    """A file as MCP carries it."""
    if artifact.size > LARGEST_FILE:
        return {"type": "text", "text": f"[{artifact.name}: {artifact.size:,} bytes, blob {artifact.digest}]"}
    found = await services.blobs.get(scope.customer, artifact.digest)
    kind = artifact.media_type.partition("/")[0]
    if kind in ("image", "audio") and artifact.media_type != "image/svg+xml":
        return {"type": kind, "data": base64.b64encode(found).decode(), "mimeType": artifact.media_type}
    resource: dict[str, Any] = {"uri": f"caxton://files/{artifact.digest}", "mimeType": artifact.media_type}
    try:
        if not artifact.media_type.startswith(_TEXTS):
            raise ValueError
        resource["text"] = found.decode()
    except ValueError:
        resource["blob"] = base64.b64encode(found).decode()
    return {"type": "resource", "resource": {**resource, "_meta": {"caxton/name": artifact.name}}}
