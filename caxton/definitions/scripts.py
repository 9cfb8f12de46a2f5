"""Reading and checking the script of an agent."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from caxton.definitions.model_problems import validate
from caxton.definitions.reading import Reading, errors_of
from caxton.definitions.suggestions import closest, listed
from caxton.definitions.template_check import check_template
from caxton.definitions.template_language import SCRIPT_VARIABLES, TemplateScope
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.definitions.values import unfit_values
from caxton.domain.agents import AgentSpec
from caxton.domain.problems import Problem
from caxton.domain.scripts import Script, ScriptStep

PATTERN_LENGTH = 2_000
"""Characters of one regular expression."""


def read_script(source: TomlSource, agent: AgentSpec | None) -> Reading[Script]:
    """The script in `source`, checked against the agent that names it, but for what :func:`check_actions` checks.

    Args:
        source: the script file.
        agent: None when the agent's own file is not valid: what depends on it is then left unchecked.
    """
    script, problems = validate(Script, source)
    if script is not None:
        problems += _check_order(script, source)
    for path, _ in _tables(source, (), "rules"):
        problems += _check_rule(path, source, agent)
    return Reading(None if errors_of(problems) else script, problems)


def ends_turn(step: ScriptStep) -> bool:
    """Whether nothing comes after the step."""
    return step.reply is not None or step.data is not None or step.fail is not None


def _check_order(script: Script, source: TomlSource) -> Iterator[Problem]:
    """Rules after one that always holds."""
    always = next((i for i, rule in enumerate(script.rules) if not rule.when.matches and not rule.when.contains), None)
    if always is None or always == len(script.rules) - 1:
        return
    line = source.line_of(("rules", always))
    yield source.problem(
        ("rules", always + 1),
        f"rule {always + 2} is never reached: the rule on line {line} holds for every request",
        'move the rule without "when" to the end',
        severity="warning",
    )


def _check_rule(path: Path, source: TomlSource, agent: AgentSpec | None) -> Iterator[Problem]:
    """Checks of a rule that do not need the rest of the script, or even of the rule, to be valid."""
    groups: Collection[str | int] | None = ()
    pattern = source.get((*path, "when", "matches"))
    if isinstance(pattern, str):
        groups, problem = _check_pattern(source, (*path, "when", "matches"), pattern)
        if problem:
            yield problem
    parameters = list(agent.parameters) if agent else None
    steps: list[tuple[Path, ScriptStep | None]] = []
    for place, data in _tables(source, path, "steps"):
        try:
            steps.append((place, ScriptStep.model_validate(data, strict=True)))
        except ValidationError:
            steps.append((place, None))
    for index, (place, step) in enumerate(steps):
        if step is not None:
            for key, text in _texts(step, place):
                results = index + 1 if key[-1] == "on_error" else index
                scope = TemplateScope(SCRIPT_VARIABLES, parameters, results, groups)
                yield from check_template(source, key, text, scope)
            for key in ("arguments", "input", "data"):
                yield from unfit_values(source, (*place, key), getattr(step, key))
    yield from _check_end(steps, source)


def _check_end(steps: Sequence[tuple[Path, ScriptStep | None]], source: TomlSource) -> Iterator[Problem]:
    """Whether the last step ends the turn, and no other does."""
    end = next((index for index, (_, step) in enumerate(steps) if step and ends_turn(step)), None)
    if end is not None and end < len(steps) - 1:
        message = f"step {end + 2} is never reached: step {end + 1} ends the turn"
        yield source.problem(steps[end + 1][0], message, "remove it")
    elif end is None and steps and steps[-1][1] is not None:
        hint = 'add a step such as: reply = "{{ results[-1].text }}"'
        yield source.problem(steps[-1][0], "the last step of a rule must reply", hint)


def _tables(source: TomlSource, path: Path, key: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The tables of the list `key` at `path`, as far as they are tables."""
    entries = source.get((*path, key))
    for index, entry in enumerate(cast("list[Any]", entries) if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield (*path, key, index), cast("dict[str, Any]", entry)


def _check_pattern(source: TomlSource, path: Path, pattern: str) -> tuple[Collection[str | int] | None, Problem | None]:
    """The groups of a regular expression, or what is wrong with it."""
    import regex  # the library that the scripted model searches with

    if len(pattern) > PATTERN_LENGTH:
        message = f"the regular expression has more than {PATTERN_LENGTH:,} characters"
        return None, source.problem(path, message, "make several rules of it")

    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        message: str = getattr(error, "msg", "it is too complicated")
        position: int | None = getattr(error, "pos", None)
        hint = "a bracket or dot that is meant as itself needs a backslash before it"
        text = f"this is not a regular expression: {message}"
        if position is None:
            return None, source.problem(path, text, hint)
        span = source.inside_string(path, min(position, len(pattern) - 1), min(position, len(pattern) - 1) + 1)
        return None, source.problem_at(span, path, text, hint)
    return [*range(compiled.groups + 1), *compiled.groupindex], None


def _texts(step: ScriptStep, path: Path) -> Iterator[tuple[Path, str]]:
    for key in ("content", "reply", "fail", "on_error"):
        text = getattr(step, key)
        if text is not None:
            yield (*path, key), text
    for key in ("arguments", "input", "data"):
        yield from _texts_in(getattr(step, key), (*path, key))


def _texts_in(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _texts_in(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _texts_in(inner, (*path, index))


def check_actions(
    source: TomlSource, agent: AgentSpec, tools: Collection[str], capabilities: Collection[str]
) -> Iterator[Problem]:
    """Steps that do what the agent may not do.

    Args:
        source: the script file.
        agent: whose script it is.
        tools: names of all tools that there are, as far as they are known: which of two spellings is right is told by them.
        capabilities: names of all that agents offer, likewise.
    """
    for rule, _ in _tables(source, (), "rules"):
        for place, data in _tables(source, rule, "steps"):
            try:
                step = ScriptStep.model_validate(data, strict=True)
            except ValidationError:
                continue
            if step.tool is not None and not agent.allows_tool(*step.tool.partition(".")[::2]):
                hint = _allow_tool(step.tool, agent, tools)
                yield source.problem((*place, "tool"), f'the agent may not call "{step.tool}"', hint)
            if step.capability is not None:
                yield from _check_hand_over(step.capability, (*place, "capability"), source, agent, capabilities)


def _allow_tool(tool: str, agent: AgentSpec, tools: Collection[str]) -> str:
    """What to do so that the agent may call `tool`."""
    server, _, function = tool.partition(".")
    servers = {each.partition(".")[0] for each in agent.tools}
    close = None if server in servers else closest(server, servers)
    if close is None:
        return f'add "{tool}" to tools in the agent\'s file'
    if server in tools and close not in tools:
        return _write_there(close, server, "tools")
    return f'did you mean "{close}.{function}"? Or "{close}" is misspelt in tools of the agent\'s file'


def _check_hand_over(
    capability: str, path: Path, source: TomlSource, agent: AgentSpec, capabilities: Collection[str]
) -> Iterator[Problem]:
    name = capability.partition("@")[0]
    delegates = [request.name for request in agent.delegates]
    if name in delegates:
        return
    close = closest(name, delegates)
    if close is None:
        hint = f'add "{capability}" to delegates in the agent\'s file'
    elif name in capabilities and close not in capabilities:
        hint = _write_there(close, name, "delegates")
    else:
        hint = f'did you mean "{close}"?'
    have = f"its delegates are {listed(delegates)}" if delegates else "it has no delegates"
    yield source.problem(path, f'the agent may not hand work over to "{name}": {have}', hint)


def _write_there(wrong: str, right: str, key: str) -> str:
    """The script is right, and the agent's file has a name that nobody knows."""
    return f'"{wrong}" in {key} of the agent\'s file is misspelt: write "{right}" there'
