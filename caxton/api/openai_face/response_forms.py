"""A turn in the form of OpenAI's response."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from caxton.api.openai_face.approving import approval_item
from caxton.api.openai_face.asking import Answer, response_id
from caxton.api.openai_face.bodies import ResponsesBody
from caxton.api.openai_face.chat import facts, finish_reason
from caxton.api.openai_face.continuing import calls_of
from caxton.api.openai_face.functions import told_arguments
from caxton.domain.caller_context import CallerFunction
from caxton.domain.errors import ExecutionCancelled
from caxton.domain.executions import TurnView


def as_response(
    body: ResponsesBody, found: Answer, *, streaming: bool = False, shows_approval: bool = False
) -> dict[str, Any]:
    """The response.

    Args:
        body: what was asked.
        found: the turn, and its text.
        streaming: whether it is about to be told in events.
        shows_approval: whether who asked may see what waits for a person.
    """
    turn = found.turn
    status = "in_progress" if streaming else {"running": "in_progress"}.get(turn.state, turn.state)
    if status == "failed" and turn.error is not None and turn.error.code == ExecutionCancelled.code:
        status = "cancelled"
    done = status == "completed"
    cut = finish_reason(turn) if done else "stop"
    if cut not in ("stop", "tool_calls"):
        status = "incomplete"
    metadata = {name: str(value) for name, value in (body.metadata or {}).items()}
    if found.approval is not None:
        metadata |= {"caxton_waits_for": "approval", "caxton_approval_id": found.approval.id}
    waits = [approval_item(found.approval)] if found.approval is not None and shows_approval else []
    reason = {"length": "max_output_tokens"}.get(cut, cut)
    created = turn.reply.created_at.timestamp() if turn.reply else time.time()
    return {
        "id": response_id(turn.execution_id),
        "object": "response",
        "created_at": int(created),
        "completed_at": int(created) if done else None,
        "status": status,
        "background": bool(body.background),
        "error": {"code": "server_error", "message": turn.error.message} if turn.error else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": body.instructions,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": body.model,
        "output": output_items(turn, found.text) if done else waits,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": 1.0,
        "text": {"format": _format(body)},
        "tool_choice": body.tool_choice or "auto",
        "tools": [_tool(tool) for tool in body.tools or ()],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "usage": _usage(turn) if done else None,
        "user": None,
        "metadata": metadata,
        "caxton": {**facts(turn), "approval_id": found.approval.id if found.approval else None},
    }


def output_items(turn: TurnView, text: str) -> list[dict[str, Any]]:
    """What the response consists of: its text, if it has any, and calls."""
    calls = [call_item(call) for call in calls_of(turn)]
    return [*([message_item(turn, text)] if text or not calls else []), *calls]


def message_item(turn: TurnView, text: str, status: str = "completed") -> dict[str, Any]:
    """The text as an item."""
    content = [text_part(text)] if status == "completed" else []
    return {"id": message_id(turn), "type": "message", "status": status, "role": "assistant", "content": content}


def message_id(turn: TurnView) -> str:
    """The id of a response's text."""
    return f"msg_{turn.execution_id.removeprefix('x_')}"


def text_part(text: str) -> dict[str, Any]:
    """A text as a part of an item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(call: Mapping[str, Any], status: str = "completed") -> dict[str, Any]:
    """A call that the caller is asked for, as an item; its arguments come last."""
    return {
        "id": f"fc_{call['id'].removeprefix('call_')}",
        "type": "function_call",
        "status": status,
        "call_id": call["id"],
        "name": call["name"],
        "arguments": told_arguments(call) if status == "completed" else "",
    }


def tools_of(functions: Sequence[CallerFunction]) -> list[dict[str, Any]]:
    """Functions of the caller, as it gave them."""
    return [{"type": "function", **each.model_dump()} for each in functions]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function as responses have it, with nothing missing."""
    about = tool.get("function") if isinstance(tool.get("function"), dict) else tool
    assert about is not None
    return {
        "type": "function",
        "name": about.get("name"),
        "description": about.get("description"),
        "parameters": about.get("parameters"),
        "strict": about.get("strict", False),
    }


def _format(body: ResponsesBody) -> dict[str, Any]:
    wanted = body.text.format if body.text else None
    if wanted is None or wanted.type != "json_schema":
        return {"type": wanted.type if wanted else "text"}
    inner = wanted.json_schema
    schema = inner.schema_ if inner is not None else wanted.schema_
    name = wanted.name or (inner.name if inner is not None else "")
    return {"type": "json_schema", "name": name, "description": None, "schema": schema, "strict": True}


def _usage(turn: TurnView) -> dict[str, Any]:
    used = turn.usage
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.tokens,
    }
