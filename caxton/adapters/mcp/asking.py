"""What servers ask people during calls: answered with what was said before, else told to whoever made the call, which then ends.

Servers up to revision 2025-11-25 ask on the connection, and do not say for which call. Where several are in progress, nobody can
tell whose question it is: it is declined, and from then on calls of these functions have the connection for themselves.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from caxton.adapters.mcp.meter import Conceal
from caxton.domain.questions import Answer, Elicitation, elicitation_of

NOBODY_TO_ASK: Final = "nobody can be asked during a call: pass what is needed as arguments"
MOST_ROUNDS: Final = 20
"""How often one call is sent again with answers."""

URL_REQUIRED: Final = -32042
"""The error by which a server of 2025-11-25 says that somebody has to visit a page first."""

_ELICIT: Final = "elicitation/create"


@dataclass
class Asker:
    """A call in progress."""

    function: str
    answers: Sequence[Answer] | None
    """What was said to its questions; None: nobody can be asked."""
    declined: list[str] = field(default_factory=list[str])
    """Kinds of questions that nobody was asked."""
    question: Elicitation | None = None
    """One that has no answer yet."""
    has_question: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, question: Elicitation) -> None:
        """Takes a question that has no answer."""
        self.question = self.question or question
        self.has_question.set()

    def answer_to(self, question: Elicitation | None) -> Answer | None:
        """What was said to a question."""
        if question is None:
            return None
        return next((each for each in self.answers or () if each.digest == question.digest), None)


class Asking:
    """The questions of one connection."""

    def __init__(self, conceal: Conceal) -> None:
        """Ask without what `conceal` cuts out."""
        self._conceal = conceal
        self.on_connection = False
        """Whether the server's questions come on the connection, and not as results."""
        self._calls: list[Asker] = []
        self._alone: Asker | None = None
        self._askers: set[str] = set()
        """Functions that have asked."""
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def call(self, function: str, answers: Sequence[Answer] | None) -> AsyncGenerator[Asker]:
        """A call, from when it may begin to its end."""
        made = Asker(function, answers)
        alone = self.on_connection and answers is not None and (bool(answers) or function in self._askers)
        async with self._changed:
            await self._changed.wait_for(lambda: self._alone is None and not (alone and self._calls))
            self._calls.append(made)
            self._alone = made if alone else None
        try:
            yield made
        finally:
            self._calls.remove(made)
            self._alone = None if self._alone is made else self._alone
            async with self._changed:
                self._changed.notify_all()

    def on_question(self, params: Any) -> Any:
        """The answer to a question that came on the connection."""
        import mcp_types as types

        question = self._seen(params.model_dump(mode="json", by_alias=True, exclude_none=True))
        known = [each for each in self._calls if each.answer_to(question) is not None]
        candidates = known or self._calls
        self._askers.update(each.function for each in self._calls)
        if len(candidates) == 1 and candidates[0].answers is not None and question is not None:
            said = candidates[0].answer_to(question)
            if said is not None:
                return _told(said)
            candidates[0].ask(question)
            return types.ElicitResult(action="cancel")
        for each in candidates:
            if len(each.declined) < 1_000:
                each.declined.append(str(getattr(params, "mode", None) or "form")[:20])
        return types.ErrorData(code=types.INVALID_REQUEST, message=NOBODY_TO_ASK)

    def responses(self, made: Asker, result: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answers to the questions of a result, since 2026-07-28; None where one has none, which `made` is told."""
        requests: Any = result.get("inputRequests") or {}
        found: dict[str, Any] = {}
        for name, request in cast("dict[str, Any]", requests).items() if isinstance(requests, dict) else ():
            asked = cast("dict[str, Any]", request) if isinstance(request, dict) else dict[str, Any]()
            question = self._seen(asked.get("params")) if asked.get("method") == _ELICIT else None
            said = made.answer_to(question)
            if said is None:
                if question is not None and made.answers is not None:
                    made.ask(question)
                else:
                    made.declined.append("form" if asked.get("method") == _ELICIT else str(asked.get("method"))[:20])
                return None
            found[name] = _told(said)
        return found

    def on_error(self, made: Asker, data: object) -> None:
        """Takes the pages that somebody has to visit before a call can be made."""
        told: Any = cast("Mapping[str, Any]", data).get("elicitations") if isinstance(data, dict) else None
        for each in cast("list[Any]", told)[:MOST_ROUNDS] if isinstance(told, list) else []:
            question = self._seen(each)
            if question is not None and made.answers is not None and made.answer_to(question) is None:
                made.ask(question)
                return

    def _seen(self, params: object) -> Elicitation | None:
        """A question without secrets; None where nobody could be shown it."""
        if not isinstance(params, dict):
            return None
        return elicitation_of(self._conceal.value(cast("dict[str, Any]", params)))


def _told(said: Answer) -> Any:
    import mcp_types as types

    content = dict(said.content) if said.content is not None else None
    return types.ElicitResult(action=said.action, content=content)
