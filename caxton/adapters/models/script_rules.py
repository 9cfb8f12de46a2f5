"""Scripts made ready to use: which rule fits a request."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex
from pydantic import ValidationError

from caxton.domain.agents import AgentVersion
from caxton.domain.errors import ExecutionFailed, ModelNotConfigured
from caxton.domain.scripts import Rule, Script

SEARCHED_CHARACTERS = 10_000
"""How much of a request patterns are searched in."""

SEARCH_TIME = 0.25
"""Seconds that one pattern may take: `(a+)+$` would take years. Python's own `re` has no such limit."""


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

    def match(self, request: str) -> dict[int | str, str] | None:
        """The groups of the rule's pattern if its condition holds for `request`, else None."""
        if self.contained is not None and self.contained not in request.casefold():
            return None
        if self.pattern is None:
            return {}
        try:
            found = self.pattern.search(request[:SEARCHED_CHARACTERS], timeout=SEARCH_TIME)
        except TimeoutError:
            raise ExecutionFailed(
                f"The pattern of rule {self} takes longer than {SEARCH_TIME:g} s",
                "Avoid repetitions inside repetitions, such as (a+)+",
                details={"rule": self.label},
            ) from None
        if found is None:
            return None
        groups: dict[int | str, str] = {0: found.group()}
        groups.update(enumerate((group or "" for group in found.groups()), start=1))
        groups.update({name: group or "" for name, group in found.groupdict().items()})
        return groups


@dataclass(frozen=True, slots=True)
class CompiledScript:
    """An agent's script ready to use."""

    rules: Sequence[CompiledRule]
    delay: float

    def choose(self, request: str) -> tuple[CompiledRule, dict[int | str, str]] | None:
        """The first rule whose condition holds, and the groups of its pattern."""
        for rule in self.rules:
            groups = rule.match(request)
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
            f'Agent "{agent.name}" has no script',
            'Name a file in the agent\'s "script", or set "model" to a provider\'s model',
            details={"model": "scripted", "agent": agent.name},
        )
    try:
        script = Script.model_validate(agent.script)
        rules = [_compile_rule(rule, number) for number, rule in enumerate(script.rules, start=1)]
    except (ValidationError, regex.error):
        raise ExecutionFailed(
            f'The script of agent "{agent.name}" is not valid', "Run the checks of the workspace and deploy it again"
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
