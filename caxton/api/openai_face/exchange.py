"""What a request of an OpenAI client says: the exchange so far, what is asked at last, and the results of calls behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from caxton.api.openai_face.bodies import (
    LONGEST_ID,
    ChatBody,
    ChatMessage,
    Part,
    ResponsesBody,
    Text,
    wrong,
)
from caxton.api.openai_face.files import KINDS, GivenFile, read_file
from caxton.api.openai_face.functions import Offered, read_tools, said_call, said_calls
from caxton.domain.caller_context import CallerContext, Said, SaidResult
from caxton.domain.placed_files import joined
from caxton.domain.validation_words import first_problem

_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})

_PASSED_OVER: Final = ("reasoning", "item_reference")
"""Items of responses that clients send back and that no other model has a use for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and what its caller brings along."""

    content: str | None
    """What the user says at last; None if there are results alone, for a turn that the server has."""
    context: CallerContext
    files: Sequence[GivenFile] = ()
    places: Sequence[int] = ()
    """Where each file stands in what the user says; at its beginning, if an earlier message brought it."""
    results: Sequence[SaidResult] = ()
    """Of the calls that the answer before asked for, if nothing else is said behind them."""


def chat_request(body: ChatBody, *, keeps_history: bool) -> Asked:
    """What a request for a chat completion says. Files of earlier messages go with the last one.

    Args:
        body: the request.
        keeps_history: whether the server has the earlier messages, so that those of the body do not count.

    Raises:
        InvalidInput: the body wants what an agent cannot do.
    """
    if body.n not in (None, 1):
        raise wrong(f"an agent gives one answer: n is 1, not {body.n}; ask as often as you want answers", "n")
    if body.logprobs:
        raise wrong("agents tell no probabilities of words", "logprobs")
    if body.modalities not in (None, ["text"]):
        raise wrong("agents answer with text", "modalities")
    if body.functions:
        raise wrong("functions have become tools: name them there", "functions")
    said = _Exchange()
    for number, message in enumerate(body.messages):
        said.take(message, f"messages.{number}")
    output = body.response_format.output("response_format") if body.response_format else None
    offered = read_tools(body.tools, body.tool_choice)
    context = said.context(offered, output=output, stop=body.stops, parallel=body.parallel_tool_calls)
    return said.asked(context, "messages", keeps_history=keeps_history)


def responses_request(body: ResponsesBody) -> Asked:
    """The same of a request for a response."""
    said = _Exchange([body.instructions] if body.instructions else [])
    if isinstance(body.input, str):
        said.take(ChatMessage(role="user", content=body.input), "input")
    else:
        for number, item in enumerate(body.input):
            said.take_item(item, f"input.{number}")
    wanted = body.text.format if body.text else None
    output = wanted.output("text.format") if wanted else None
    context = said.context(read_tools(body.tools, body.tool_choice), output=output, parallel=body.parallel_tool_calls)
    return said.asked(context, "input", goes_on=body.previous_response_id is not None)


class _Exchange:
    """Messages and items of a request, as far as they have been read."""

    def __init__(self, instructions: list[str] | None = None) -> None:
        self.said: list[Said] = []
        self.files: list[tuple[int, int, GivenFile]] = []
        """Files, each with the position of its message, and its place in the text of that."""
        self.instructions = instructions or []

    def take(self, message: ChatMessage, place: str) -> None:
        """Takes a message: what it says, and its files."""
        text, found, places = _content(message.content, f"{place}.content")
        if found and message.role != "user":
            raise wrong("files are sent by users", f"{place}.content")
        if message.role == "function":
            raise wrong("functions have become tools: their results are messages of the role tool", place)
        if message.role in ("system", "developer"):
            self.instructions.append(text)
        elif message.role == "tool":
            if not message.tool_call_id:
                raise wrong("the result of a call names it", f"{place}.tool_call_id")
            self._take_result(SaidResult(id=message.tool_call_id, text=text))
        else:
            self.files += [(len(self.said), at, file) for at, file in zip(places, found, strict=True)]
            role = "user" if message.role == "user" else "assistant"
            calls = said_calls(message, place) if role == "assistant" else []
            self.said.append(Said(role=role, text=text, calls=calls))

    def take_item(self, item: dict[str, Any], place: str) -> None:
        """Takes an item of a request for a response."""
        kind = item.get("type", "message")
        if kind == "message":
            self.take(read_item(item, place), place)
        elif kind == "function_call":
            call = said_call(
                _text(item, "call_id", place), _text(item, "name", place), str(item.get("arguments") or "")
            )
            before = self.said[-1] if self.said else None
            if before is not None and before.role == "assistant":
                self.said[-1] = before.model_copy(update={"calls": [*before.calls, call]})
            else:
                self.said.append(Said(role="assistant", calls=[call]))
        elif kind == "function_call_output":
            self._take_result(SaidResult(id=_text(item, "call_id", place), text=_output(item.get("output"), place)))
        elif kind not in _PASSED_OVER:
            raise wrong(f'items of the type "{str(kind)[:50]}" are not supported', place)

    def _take_result(self, result: SaidResult) -> None:
        before = self.said[-1] if self.said else None
        if before is not None and before.role == "results":
            self.said[-1] = before.model_copy(update={"results": [*before.results, result]})
        else:
            self.said.append(Said(role="results", results=[result]))

    def context(
        self,
        offered: Offered,
        *,
        output: dict[str, Any] | None,
        stop: Sequence[str] = (),
        parallel: bool | None,
    ) -> CallerContext:
        """What goes along, without the exchange."""
        return CallerContext(
            instructions="\n\n".join(text for text in self.instructions if text),
            output=output,
            stop=list(stop),
            functions=list(offered.functions),
            choice=offered.choice,
            parallel=parallel is not False,
        )

    def asked(self, context: CallerContext, param: str, *, keeps_history: bool = False, goes_on: bool = False) -> Asked:
        """What is asked at last, and all before and behind it.

        Args:
            context: what goes along besides.
            param: the field that the exchange was in.
            keeps_history: whether what was said before does not count, for the server has it.
            goes_on: whether the server has what was said before the first entry.
        """
        end = len(self.said)
        while end and self.said[end - 1].role != "user":
            end -= 1
        start = end
        while start and self.said[start - 1].role == "user":
            start -= 1
        before, since = self.said[:start], self.said[end:]
        has_results = bool(since) and since[-1].role == "results"
        content, begins = "\n\n".join(each.text for each in self.said[start:end]), dict[int, int]()
        for position in range(start, end):
            begins[position] = sum(len(each.text) + 2 for each in self.said[start:position])
        alone = start == end and has_results and (keeps_history or goes_on)
        if (since and not has_results) or not (content.strip() or self.files or alone):
            raise wrong("the last message is not one of the user, or it is empty", param)
        if not (keeps_history or goes_on):
            _check_pairs(self.said, param)
        given = [each for each in self.files if each[0] >= (start if keeps_history else 0)]
        places = [begins[position] + at if position in begins else 0 for position, at, _ in given]
        history = _unanswered(before, param) if keeps_history else before
        return Asked(
            None if alone else content,
            context.model_copy(update={"history": history, "since": since}),
            [file for _, _, file in given],
            places,
            since[-1].results if has_results else (),
        )


def _unanswered(before: Sequence[Said], param: str) -> Sequence[Said]:
    """Results directly before the last message, with their calls if those are told: the server has not got them yet."""
    if not before or before[-1].role != "results":
        return []
    if len(before) == 1 or not before[-2].calls:
        return before[-1:]
    _check_pairs(before[-2:], param)
    return before[-2:]


def read_item(item: dict[str, Any], place: str) -> ChatMessage:
    """A message among the items of a request."""
    try:
        return ChatMessage.model_validate(item)
    except ValidationError as error:
        below, told = first_problem(error)
        whole = place if below == "body" else f"{place}.{below}"
        raise wrong(f"{place}.{told}"[:500] if below != "body" else f"{place} {told}"[:500], whole[:100]) from None


def _check_pairs(said: Sequence[Said], param: str) -> None:
    """Checks that results follow the calls that they are of: providers refuse others, in words of their own."""
    known: set[str] = set()
    for each in said:
        known |= {call.id for call in each.calls}
        for result in each.results:
            if result.id not in known:
                raise wrong(f'"{result.id[:100]}" is a result without a call before it', param)


def _content(content: Text, place: str) -> tuple[str, list[GivenFile], list[int]]:
    """What a message says, its files, and where these stand in it."""
    if content is None or isinstance(content, str):
        return content or "", [], []
    files: list[GivenFile] = []
    texts: list[str | None] = []
    for part in content:
        if part.type in KINDS:
            files.append(read_file(part.type, part.model_extra or {}, place))
            texts.append(None)
        elif part.type in _TEXTS:
            texts.append(part.text)
        else:
            raise wrong(f'a part of the type "{part.type[:50]}" is not supported', place)
    text, places = joined(texts, "\n")
    return text, files, places


def _output(output: Any, place: str) -> str:
    """The text of a result: a text, or parts of text."""
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        try:
            parts = [Part.model_validate(each) for each in output]  # pyright: ignore[reportUnknownVariableType]
        except ValidationError:
            parts = []
        if parts and all(part.type in _TEXTS for part in parts):
            return "\n".join(part.text for part in parts)
    raise wrong("the result of a call is a text, or parts of text", f"{place}.output")


def _text(item: dict[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        raise wrong(f"{name} is a text of 1 to {LONGEST_ID} characters", f"{place}.{name}")
    return value
