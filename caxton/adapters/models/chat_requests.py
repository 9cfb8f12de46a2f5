"""What Chat Completions requests carry beside what the provider's SDK puts there."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx2

_NEW_LIMIT, _OLD_LIMIT = "max_completion_tokens", "max_tokens"

STREAM: Final = {"stream": True, "stream_options": {"include_usage": True}}


class ChatRequest:
    """One request, in full, and plainer for a service that does not take all of it."""

    def __init__(
        self,
        request: httpx2.Request,
        *,
        stream: bool,
        given: Mapping[str, Mapping[str, Any]],
        compatible: bool = False,
    ) -> None:
        """Prepare it.

        Args:
            request: what the SDK sends.
            stream: whether the answer is to come in pieces.
            compatible: whether the service is another one than OpenAI's own: most know `max_tokens` alone.
            given: what came with earlier answers and goes back with their calls, by the id of each answer's first call.
        """
        self._request = request
        self._stream = stream
        self._given = given
        self._renames = compatible and _NEW_LIMIT.encode() in request.content
        self._added: set[str] = set()

    def full(self) -> httpx2.Request:
        """The request with all that is to go with it."""
        if not (self._stream or self._given or self._renames):
            return self._request
        body: dict[str, Any] = json.loads(self._request.content)
        if self._renames and _NEW_LIMIT in body:
            body[_OLD_LIMIT] = body.pop(_NEW_LIMIT)
            self._added.add(_OLD_LIMIT)
        if self._stream:
            body |= STREAM
            self._added.add("stream_options")
        if self._given:
            self._give_back(cast("list[dict[str, Any]]", body.get("messages") or []))
        return self._with(body)

    def _give_back(self, messages: list[dict[str, Any]]) -> None:
        calling = [message for message in messages if message.get("role") == "assistant" and message.get("tool_calls")]
        found = [(message, self._given.get(message["tool_calls"][0].get("id"), {})) for message in calling]
        texts = {
            name for _, given in found for name, value in given.get("message", {}).items() if isinstance(value, str)
        }
        for message, given in found:
            if message["tool_calls"][0].get("id") not in self._given:
                continue
            # Who wants a text back wants it with all calls, an empty one too: DeepSeek refuses them without.
            for name, value in {**dict.fromkeys(texts, ""), **given.get("message", {})}.items():
                message.setdefault(name, value)
                self._added.add(name)
            for call, more in zip(message["tool_calls"], given.get("calls", ()), strict=False):
                for name, value in more.items():
                    if name == "function":
                        call["function"] = {**value, **call["function"]}
                        self._added |= set(value)
                    else:
                        call.setdefault(name, value)
                        self._added.add(name)

    def plainer(self, refusal: str) -> httpx2.Request | None:
        """The request without what the service refuses, by what it says; None if it refuses nothing that was added here."""
        if not any(name in refusal for name in self._added):
            return None
        if not self._stream:
            return self._request
        body: dict[str, Any] = json.loads(self._request.content)
        return self._with(body | {"stream": True})

    def _with(self, body: dict[str, Any]) -> httpx2.Request:
        sent = self._request
        headers = {name: value for name, value in sent.headers.items() if name.lower() != "content-length"}
        return httpx2.Request(sent.method, sent.url, headers=headers, json=body, extensions=sent.extensions)
