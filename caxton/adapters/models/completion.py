"""An answer of a service that speaks Chat Completions, whole or put together from pieces, without its service's habits."""

import json
import time
from typing import Any, cast

from caxton.adapters.models.answer_errors import as_error_body, error_in, status_of
from caxton.adapters.models.called_functions import CalledFunctions
from caxton.adapters.models.characters import Characters, whole
from caxton.adapters.models.finish_reasons import finish_of
from caxton.adapters.models.thoughts import LeadingThoughts
from caxton.adapters.models.usage_told import usage_in
from caxton.domain.errors import ModelAnswerInvalid, ModelError, ModelUnavailable

_OWN_FIELDS = frozenset(
    {
        "role",
        "content",
        "tool_calls",
        "function_call",
        "refusal",
        "audio",
        "annotations",
        "parsed",
        "images",
        "citations",
    }
)
"""Fields of a message that no service wants back with calls."""

_GROWING = frozenset({"text", "thinking", "summary", "data", "signature"})
"""Texts of an entry that come in pieces."""

_TEXT_PARTS = frozenset({"text", "output_text"})


class AnswerFailedError(Exception):
    """What came is not a whole answer."""

    def __init__(self, failure: ModelError) -> None:
        """Carry `failure` through the SDK, which does not know it."""
        super().__init__(failure.message)
        self.failure = failure


class AnswerRefusedError(Exception):
    """The answer is an error which should have come with a status of its own."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        """Take the status and the body of the answer that it should have been."""
        super().__init__(status)
        self.status = status
        self.body = body


class Completion:
    """An answer as far as it has come."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.ended = False
        """Whether the service said that the answer is at its end, in whichever way."""
        self._head: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._number: Any = None
        self._message: dict[str, Any] = {}
        self._pieces: dict[str, list[str]] = {}
        """Texts of the message, by field."""
        self._text, self._thoughts = Characters(), LeadingThoughts()
        self._calls = CalledFunctions()
        self._usage: dict[str, Any] | None = None
        self._finish: str | None = None

    def add(self, piece: Any, *, named_error: bool = False) -> str:
        """Takes the next piece, or the whole answer; returns what it has of the text.

        Raises:
            AnswerRefusedError: it is an error.
            AnswerFailedError: it is not a piece of an answer, or tells of a failure.
        """
        try:
            return self._add(piece, named_error=named_error)
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError):
            raise AnswerFailedError(not_understood()) from None

    def _add(self, piece: Any, *, named_error: bool) -> str:
        if isinstance(piece, list) and len(cast("list[Any]", piece)) == 1:
            [piece] = cast("list[Any]", piece)
        if not isinstance(piece, dict):
            raise TypeError("an answer is an object")
        fields = cast("dict[str, Any]", piece)
        if (error := error_in(fields, named_error=named_error)) is not None:
            raise failure_of(error)
        choice = self._chosen(fields.get("choices"))
        if (used := usage_in(fields, choice)) is not None:
            self._usage = used
        self._head |= {
            name: value
            for name, value in fields.items()
            if name not in ("choices", "object", "usage") and value is not None
        }
        if choice is None:
            self.ended = self.ended or (used is not None and bool(self._pieces or self._calls))
            return ""
        if choice.get("error"):
            raise failure_of(error_in({"error": choice["error"]}) or {})
        self._choice |= {name: value for name, value in choice.items() if name not in ("delta", "message", "logprobs")}
        finish = choice.get("finish_reason") or choice.get("finishReason")
        if finish and str(finish).lower() != "null":
            self._finish, self.ended = str(finish), True
        said = choice.get("delta") or choice.get("message")
        if said is None and isinstance(choice.get("text"), str):
            said = {"content": choice["text"]}
        return self._take(said or {})

    def _chosen(self, choices: Any) -> dict[str, Any] | None:
        """The choice that counts: of several, the one that came first."""
        for choice in cast("list[Any]", choices or []):
            found = cast("dict[str, Any]", choice)
            number = found.get("index") or 0
            if self._number is None:
                self._number = number
            if number == self._number:
                return found
        return None

    def _take(self, said: dict[str, Any]) -> str:
        text = ""
        for name, value in said.items():
            if value is None or name == "role":
                continue
            if name == "tool_calls":
                self._calls.take(value)
            elif name == "function_call":
                self._calls.take({"index": name, "function": value})
            elif name == "content":
                text += self._thoughts.take(self._text.take(_plain(value)))
            elif isinstance(value, str):
                self._pieces.setdefault(name, []).append(value)
            elif isinstance(value, list):
                _extend(self._message.setdefault(name, []), cast("list[Any]", value))
            else:
                self._message[name] = value
        if text:
            self._pieces.setdefault("content", []).append(text)
        return text

    def rest(self) -> str:
        """Ends the text; returns what was held back of it. A refusal is what the model has to say."""
        text = self._thoughts.take(self._text.end()) + self._thoughts.end()
        refusal = self._pieces.pop("refusal", [])
        if not text and not self._calls and not "".join(self._pieces.get("content", [])):
            text = whole("".join(refusal))
        if text:
            self._pieces.setdefault("content", []).append(text)
        return text

    @property
    def text(self) -> str:
        """All of the text so far."""
        return "".join(self._pieces.get("content", []))

    def as_answer(self, *, plain: bool) -> dict[str, Any]:
        """The answer as OpenAI would have given it whole.

        Args:
            plain: whether to leave out what OpenAI does not have.

        Raises:
            AnswerFailedError: it has no end, or its service broke it off.
        """
        self.rest()
        if not self.ended:
            raise AnswerFailedError(ModelAnswerInvalid("the model's answer broke off before its end"))
        finish = finish_of(self._finish or "", has_calls=bool(self._calls))
        if finish == "broken_off":
            raise AnswerFailedError(
                ModelUnavailable("the provider broke its answer off", details={"finish_reason": str(self._finish)[:80]})
            )
        texts = {name: whole("".join(pieces)) for name, pieces in self._pieces.items()}
        message: dict[str, Any] = {**self._message, **texts}
        message = {name: value for name, value in message.items() if name == "content" or not plain}
        message.pop("refusal", None)
        message |= {"role": "assistant", "content": message.get("content")}
        if self._calls:
            message["tool_calls"] = self._calls.as_list()
        more = {} if plain else {**self._choice}
        if finish == "malformed":
            finish = "stop"  # where nothing of use is left, it counts as a blank answer
        choice = {**more, "index": 0, "message": message, "finish_reason": finish}
        head = {"id": "", "model": "", **({} if plain else self._head)}
        for name in ("id", "model"):
            head[name] = str(self._head.get(name) or "")
        created = self._head.get("created")
        head["created"] = int(created) if isinstance(created, (int, float)) and 0 < created < 1e11 else int(time.time())
        head["object"] = "chat.completion"
        if self._usage is not None:
            head["usage"] = self._usage
        return {**head, "choices": [choice]}

    def to_give_back(self) -> dict[str, Any]:
        """What came with the answer that its service may want back with the calls: fields of the message, and of each call."""
        given = {name: "".join(pieces) for name, pieces in self._pieces.items() if name not in _OWN_FIELDS}
        given |= {name: value for name, value in self._message.items() if name not in _OWN_FIELDS}
        calls = [_beside(call) for call in self._calls.as_list()] if self._calls else []
        found = {**({"message": given} if given else {}), **({"calls": calls} if any(calls) else {})}
        try:
            return json.loads(whole(json.dumps(found, ensure_ascii=False))) if found else {}
        except (ValueError, RecursionError):
            return {}


def _beside(call: dict[str, Any]) -> dict[str, Any]:
    """What a call has beside its id, name and arguments."""
    beside = {name: value for name, value in call.items() if name not in ("id", "type", "function")}
    function = {name: value for name, value in call["function"].items() if name not in ("name", "arguments")}
    return {**beside, **({"function": function} if function else {})}


def _extend(known: list[Any], pieces: list[Any]) -> None:
    """Adds `pieces` of a list to it. In a stream an entry, such as a block of reasoning, may come in pieces itself."""
    for piece in pieces:
        before = known[-1] if known else None
        if not isinstance(before, dict) or not isinstance(piece, dict) or not _goes_on(before, piece):  # pyright: ignore[reportUnknownArgumentType]
            known.append(piece)
            continue
        entry, more = cast("dict[str, Any]", before), cast("dict[str, Any]", piece)
        for name, value in more.items():
            if name in _GROWING and isinstance(value, str) and isinstance(entry.get(name), str):
                entry[name] += value
            elif value is not None:
                entry[name] = value


def _goes_on(before: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Whether `piece` belongs to the entry `before`: by its number, or as thoughts that are not signed yet."""
    if before.get("type") != piece.get("type") or (piece.get("id") or before.get("id")) != (
        before.get("id") or piece.get("id")
    ):
        return False
    if before.get("index") is not None or piece.get("index") is not None:
        return before.get("index") == piece.get("index")
    return piece.get("type") == "thinking" and not before.get("signature")


def _plain(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise TypeError("a content is a text or a list of parts")
    texts: list[str] = []
    for part in cast("list[Any]", content):
        if isinstance(part, str):
            texts.append(part)
        elif cast("dict[str, Any]", part).get("type", "text") in _TEXT_PARTS:
            texts.append(str(part.get("text") or ""))
    return "".join(texts)


def not_understood() -> ModelAnswerInvalid:
    """What is told of an answer that is of no form that is known."""
    return ModelAnswerInvalid("the model's answer could not be understood")


def failure_of(error: dict[str, Any]) -> AnswerFailedError | AnswerRefusedError:
    """What is raised for an error in an answer: the provider's own failure breaks it off, any other refuses the request."""
    status = status_of(error)
    if status < 500:
        return AnswerRefusedError(status, as_error_body(error))
    told = {f"provider_{name}": str(error[name])[:80] for name in ("code", "type") if error.get(name)}
    return AnswerFailedError(ModelUnavailable("the provider broke its answer off with an error", details=told))
