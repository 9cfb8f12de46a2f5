"""Checks of `[rollout]` that no model makes: rules that could never decide."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from caxton.definitions.suggestions import did_you_mean
from caxton.definitions.toml_source import TomlSource
from caxton.domain.events import CATALOGUE
from caxton.domain.problems import Problem
from caxton.domain.quantities import parse_duration
from caxton.domain.rollout_metrics import OF_TURNS

OF_ONE_STRATEGY: Final = {"stages": "canary", "keep": "blue_green", "shadow": "shadow"}
"""Keys that mean nothing where the strategy is another one."""


def check_rollout(source: TomlSource) -> Iterator[Problem]:
    """What is wrong with the agent's `[rollout]`."""
    rollout = _table(source.data.get("rollout"))
    if not rollout:
        return
    strategy = rollout.get("strategy", "canary")
    for key, owner in OF_ONE_STRATEGY.items():
        if key in rollout and strategy != owner and strategy in {"direct", *OF_ONE_STRATEGY.values()}:
            message = f'"{key}" is of the strategy {owner}, and this one is {strategy}'
            hint = f'remove it, or write: strategy = "{owner}"'
            yield source.problem(("rollout", key), message, hint, at="key", severity="warning")
    yield from _metrics(source, rollout)
    yield from _promises(source, rollout)
    yield from _out_of_reach(source, rollout)
    judge = _table(rollout.get("judge")).get("capability")
    if isinstance(judge, str) and judge in _offered(source):
        message = f'the agent itself offers "{judge}": a version that judges itself decides nothing'
        yield source.problem(("rollout", "judge", "capability"), message, "name a capability of another agent")


def _metrics(source: TomlSource, rollout: Mapping[str, Any]) -> Iterator[Problem]:
    """Metrics by events that are none, or that no turn tells."""
    known = sorted(name for name, payload in CATALOGUE.items() if payload.category in OF_TURNS)
    entries: Any = rollout.get("metrics")
    for number, entry in enumerate(cast("list[Any]", entries) if isinstance(entries, list) else []):
        event = _table(entry).get("event")
        place = ("rollout", "metrics", number, "event")
        if not isinstance(event, str) or event in known:
            continue
        if event in CATALOGUE:
            message = f'"{event}" happens in no turn, so this metric could never decide'
            yield source.problem(place, message, 'name an event of turns, such as "tool_execution_failed"')
        else:
            hint = did_you_mean(event, known) or "see them with `caxton events types`"
            yield source.problem(place, f'there is no event "{event}"', hint)


def _promises(source: TomlSource, rollout: Mapping[str, Any]) -> Iterator[Problem]:
    """Breaches are compared where nothing is promised."""
    offered: Any = source.data.get("capabilities")
    entries = cast("list[Any]", offered) if isinstance(offered, list) else []
    promises = any("sla" in _table(entry) for entry in entries)
    if rollout.get("breaches") is True and not promises:
        message = "no capability of the agent has an `sla`, so no promise can be broken and this could never decide"
        hint = 'add sla = { respond_within = "5s" } to a capability, or take `slow_after`'
        yield source.problem(("rollout", "breaches"), message, hint)


def _out_of_reach(source: TomlSource, rollout: Mapping[str, Any]) -> Iterator[Problem]:
    """Thresholds that a limit of the agent keeps every turn from reaching, and looks that come too late."""
    limits = _table(source.data.get("limits"))
    tokens, most = rollout.get("tokens_above"), limits.get("tokens")
    if isinstance(tokens, int) and isinstance(most, int) and tokens >= most:
        message = f"no turn uses more than {most} tokens (`limits.tokens`), so this could never decide"
        yield source.problem(("rollout", "tokens_above"), message, "name fewer tokens than the limit")
    slow, longest = _seconds(rollout.get("slow_after")), _seconds(limits.get("time"))
    if slow is not None and longest is not None and slow >= longest:
        message = "no turn takes longer than `limits.time`, so this could never decide"
        yield source.problem(("rollout", "slow_after"), message, "name a shorter time than the limit")
    every, stage = _seconds(rollout.get("look_every")) or 10.0, _seconds(rollout.get("longest"))
    if stage is not None and stage <= every:
        message = (
            "the versions are compared every `look_every`, and a stage ends before that: it could never be told good"
        )
        yield source.problem(("rollout", "longest"), message, "give it several times `look_every`")


def _offered(source: TomlSource) -> set[str]:
    entries: Any = source.data.get("capabilities")
    found = [_table(each).get("name", each) for each in cast("list[Any]", entries)] if isinstance(entries, list) else []
    return {str(name) for name in found}


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _seconds(value: Any) -> float | None:
    try:
        return float(parse_duration(value)) if isinstance(value, str) else None
    except ValueError:
        return None
