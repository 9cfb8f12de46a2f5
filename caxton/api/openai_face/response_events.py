"""A response as it is made, in the events that OpenAI's clients know."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from caxton.api.openai_face.asking import Answer
from caxton.api.openai_face.bodies import ResponsesBody
from caxton.api.openai_face.chat import said
from caxton.api.openai_face.continuing import calls_of
from caxton.api.openai_face.errors import error_body
from caxton.api.openai_face.functions import told_arguments
from caxton.api.openai_face.response_forms import as_response, call_item, message_id, message_item, text_part
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE, encode_event
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import TurnView
from caxton.service.context import Caller


async def streamed(caller: Caller, services: Services, body: ResponsesBody, turn: TurnView) -> AsyncIterator[str]:
    """The events of a response, to its end."""
    events = _Events(body, turn)
    for event in events.begin():
        yield event
    async for piece in said(services, caller, turn):
        if isinstance(piece, CaxtonError):
            told = events.failed(piece)
        elif isinstance(piece, Answer):
            told = events.end(piece.turn)
        elif not piece:
            yield STILL_HERE
            continue
        else:
            told = events.text(piece)
        for event in told:
            yield event


class _Events:
    """Events of one response, numbered."""

    def __init__(self, body: ResponsesBody, turn: TurnView) -> None:
        self._body = body
        self._turn = turn
        self._number = -1
        self._text: str | None = None
        """What has been told of the text; None before it begins."""

    def begin(self) -> Iterator[str]:
        """That the response is there."""
        begun = as_response(self._body, Answer(self._turn.model_copy(update={"reply": None})), streaming=True)
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)

    def text(self, piece: str) -> Iterator[str]:
        """The next piece of the text."""
        if self._text is None:
            self._text = ""
            item = message_item(self._turn, "", "in_progress")
            yield self._event("response.output_item.added", output_index=0, item=item)
            yield self._event("response.content_part.added", **self._place, part=text_part(""))
        if piece:
            self._text += piece
            yield self._event("response.output_text.delta", **self._place, delta=piece, logprobs=[])

    def end(self, turn: TurnView) -> Iterator[str]:
        """The end of the text, the calls, and the whole response."""
        calls = calls_of(turn)
        if self._text is None and not calls:
            yield from self.text("")
        if self._text is not None:
            yield self._event("response.output_text.done", **self._place, text=self._text, logprobs=[])
            yield self._event("response.content_part.done", **self._place, part=text_part(self._text))
            yield self._event("response.output_item.done", output_index=0, item=message_item(turn, self._text))
        for index, call in enumerate(calls, start=0 if self._text is None else 1):
            begun, done = call_item(call, "in_progress"), call_item(call)
            place = {"item_id": done["id"], "output_index": index}
            arguments = told_arguments(call)
            yield self._event("response.output_item.added", output_index=index, item=begun)
            yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
            yield self._event("response.function_call_arguments.done", **place, name=call["name"], arguments=arguments)
            yield self._event("response.output_item.done", output_index=index, item=done)
        ended = as_response(self._body, Answer(turn, self._text or ""))
        yield self._event(f"response.{ended['status']}", response=ended)

    def failed(self, error: CaxtonError) -> Iterator[str]:
        """Why there is no response."""
        told = error_body(error, None)
        flat = {name: told[name] for name in ("code", "message", "param")}
        # OpenAI's clients look for the fields in the event, those of Open Responses in its `error`.
        yield self._event("error", **flat, error={"type": told["type"], **flat})
        if error.code != "reply_pending":
            failed = self._turn.model_copy(update={"state": "failed", "error": error.report()})
            yield self._event("response.failed", response=as_response(self._body, Answer(failed)))

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": message_id(self._turn), "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **more: Any) -> str:
        self._number += 1
        return encode_event(kind, {"type": kind, "sequence_number": self._number, **more})
