"""Scripts made ready to use: which rule fits a request."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex
from pydantic import ValidationError

from caxton.domain.agents import AgentVersion
from caxton.domain.costly_work import STOPPED
from caxton.domain.errors import ExecutionFailed, ModelNotConfigured
from caxton.domain.scripts import Rule, Script

SEARCHED_CHARACTERS = 10_000
"""How much of a request patterns are searched in."""

SEARCH_TIME = 0.05
"""Seconds that all patterns of a script together may take for one request: `(a+)+$` alone would take years. Python's own
`re` has no such limit."""

CONTENT_TIME = 0.2
"""Seconds of CPU within which a rule is to be found, also in a request of many megabytes."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule ready to use."""

    rule: Rule
    label: str | int
    """Its name, or its number from 1."""
    pattern: "regex.Pattern[str] | None"
    contained: str | None

    def __str__(self) -> str:
        return f'"{self.label}"' if isinstance(self.label, str) else str(self.label)

    def match(self, request: "_Request") -> dict[int | str, str] | None:
        """The groups of the rule's pattern if its condition holds for `request`, else None.

        Raises:
            ExecutionFailed: no time is left for it.
        """
        if self.contained is not None:
            if request.is_late:
                raise self._late(CONTENT_TIME, "Look for fewer words, or in shorter requests")
            if self.contained not in request.folded:
                return None
        if self.pattern is None:
            return {}
        left = request.left
        begun = time.thread_time()
        try:
            if left <= 0:
                raise TimeoutError
            found = self.pattern.search(request.beginning, timeout=left)
        except TimeoutError:
            raise self._late(SEARCH_TIME, "Avoid repetitions inside repetitions, such as (a+)+") from None
        finally:
            request.left -= time.thread_time() - begun
        if found is None:
            return None
        groups: dict[int | str, str] = {0: found.group()}
        groups.update(enumerate((group or "" for group in found.groups()), start=1))
        groups.update({name: group or "" for name, group in found.groupdict().items()})
        return groups

    def _late(self, limit: float, hint: str) -> ExecutionFailed:
        return ExecutionFailed(
            f"the patterns up to that of rule {self} take longer than {limit:g} s",
            hint,
            details={"rule": self.label, STOPPED: True},
        )


class _Request:
    """A request that rules look at, and the time that is left for it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.beginning = text[:SEARCHED_CHARACTERS]
        self.left = SEARCH_TIME
        """Seconds for patterns."""
        self._until = time.thread_time() + CONTENT_TIME if len(text) > SEARCHED_CHARACTERS else None

    @property
    def is_late(self) -> bool:
        """Whether looking through the whole text has taken too long. Short texts take no time worth a look at the clock."""
        return self._until is not None and time.thread_time() > self._until

    @cached_property
    def folded(self) -> str:
        """The text in which upper and lower case are the same."""
        return self._text.casefold()


@dataclass(frozen=True, slots=True)
class CompiledScript:
    """An agent's script ready to use."""

    rules: Sequence[CompiledRule]
    delay: float

    @property
    def size(self) -> int:
        """Characters of its regular expressions."""
        return sum(len(rule.rule.when.matches or "") for rule in self.rules)

    def choose(self, request: str) -> tuple[CompiledRule, dict[int | str, str]] | None:
        """The first rule whose condition holds, and the groups of its pattern."""
        looked_at = _Request(request)
        for rule in self.rules:
            groups = rule.match(looked_at)
            if groups is not None:
                return rule, groups
        return None


def compile_script(agent: AgentVersion) -> CompiledScript:
    """The script of `agent`, ready to use.

    Raises:
        ModelNotConfigured: it has none.
        ExecutionFailed: it is not valid, which the checks of a deployment would have found.
    """
    if agent.script is None:
        raise ModelNotConfigured(
            f'agent "{agent.name}" has no script',
            'name a file in the agent\'s "script", or set "model" to a provider\'s model',
            details={"model": "scripted", "agent": agent.name},
        )
    try:
        script = Script.model_validate(agent.script)
        rules = [_compile_rule(rule, number) for number, rule in enumerate(script.rules, start=1)]
    except (ValidationError, regex.error):
        raise ExecutionFailed(
            f'the script of agent "{agent.name}" is not valid', "run the checks of the workspace and deploy it again"
        ) from None
    return CompiledScript(rules, script.delay)


def _compile_rule(rule: Rule, number: int) -> CompiledRule:
    when = rule.when
    return CompiledRule(
        rule=rule,
        label=rule.name or number,
        pattern=None if when.matches is None else regex.compile(when.matches),
        contained=None if when.contains is None else when.contains.casefold(),
    )
