"""The client of OpenAI's SDK, which sends messages of Chat Completions as they are given.

The SDK compares each field of each message with its types before it sends them, for it renames and encodes some fields of some
of its APIs. Messages have none of these, and the comparison takes half a millisecond for each earlier call of a tool: in a turn
of many calls far more than all else.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, cast

from openai import AsyncOpenAI
from openai.resources.chat import AsyncChat


class OpenAIClient(AsyncOpenAI):
    """As its base class, and so are the copies that it makes of itself for other options."""

    @cached_property
    def chat(self) -> AsyncChat:  # pyright: ignore[reportIncompatibleMethodOverride] - a property there, too
        """Chat Completions."""
        chat = super().chat
        create = cast("Any", chat.completions.create)

        async def create_as_given(
            *, messages: Iterable[Any], extra_body: Mapping[str, Any] | None = None, **given: Any
        ) -> Any:
            # What is in the extra body takes the place of what has the same name.
            return await create(messages=[], extra_body={**(extra_body or {}), "messages": list(messages)}, **given)

        setattr(chat.completions, "create", create_as_given)  # noqa: B010 - no function has its overloads
        return chat
