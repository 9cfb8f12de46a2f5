"""Replies that do not fit what a capability promises: the model is told what is wrong, and answers again."""

import json
from collections.abc import Mapping
from dataclasses import replace

from caxton.domain.errors import CapabilityOutputInvalid, TokenLimitReached
from caxton.domain.executions import Plan
from caxton.domain.ids import Scope
from caxton.domain.ports import FailedAttempt, ModelReply, ModelRequest, OutputSchema, PromptPart, SchemaChecker
from caxton.turns.typed_capabilities import OutputCheck, check_output

SHOWN_REPLY = 20_000
"""Characters of a reply that does not fit that its model is shown again."""


class Mending:
    """The attempts at one reply."""

    def __init__(
        self, checker: SchemaChecker, scope: Scope, output: OutputSchema, request: ModelRequest, attempts: int
    ) -> None:
        """Prepare for replies to `request`.

        Args:
            checker: checks them.
            scope: whose they are.
            output: what the reply has to be.
            request: what the model was asked.
            attempts: replies that did not fit, before this process took over.
        """
        self._checker = checker
        self._scope = scope
        self._output = output
        self._request = request
        self._attempts = attempts
        self._last = OutputCheck("")

    async def check(self, reply: ModelReply) -> OutputCheck:
        """Whether `reply` fits."""
        self._last = await check_output(self._checker, self._scope, self._output, reply.text)
        return self._last

    def attempt(self, reply: ModelReply, seconds: float) -> FailedAttempt:
        """`reply`, which does not fit, as an attempt that brought nothing."""
        self._attempts += 1
        return FailedAttempt(reply.model, CapabilityOutputInvalid.code, seconds, reply.usage)

    def check_left(self, agent: str) -> None:
        """Whether the capability allows another attempt.

        Raises:
            CapabilityOutputInvalid: it does not.
        """
        if self._attempts > self._output.repairs:
            raise self.failure(agent)

    def again(self, reply: ModelReply) -> ModelRequest:
        """The request again, with the reply that does not fit and what is wrong with it."""
        said = PromptPart("assistant", reply.text[:SHOWN_REPLY])
        asked = PromptPart("user", _told(self._last, self._output.schema))
        return replace(self._request, parts=[*self._request.parts, said, asked])

    def failure(self, agent: str) -> CapabilityOutputInvalid:
        """What ends the turn."""
        return CapabilityOutputInvalid(
            f'the reply of agent "{agent}" does not fit the output of "{self._output.name}": {self._last.listed}',
            "raise `output_repairs` of the capability, say in the prompt what is wanted, or make its schema simpler",
            details={
                "capability": self._output.name,
                "agent": agent,
                "attempts": max(1, self._attempts),
                "violations": list(self._last.violations),
            },
        )


def _told(check: OutputCheck, schema: Mapping[str, object]) -> str:
    return (
        f"Your answer does not fit: {check.listed}.\n"
        "Answer again with one JSON object that fits this JSON Schema, and with nothing else:\n"
        f"{json.dumps(dict(schema), ensure_ascii=False)}"
    )


def no_tokens(plan: Plan) -> TokenLimitReached:
    """What ends a turn that has used its tokens in the middle of a step."""
    return TokenLimitReached(
        f'agent "{plan.agent}" used more tokens than the {plan.max_tokens:g} allowed',
        f'raise `tokens` in [limits] of agent "{plan.agent}"',
        details={"limit": "token", "value": plan.max_tokens, "agent": plan.agent},
    )
