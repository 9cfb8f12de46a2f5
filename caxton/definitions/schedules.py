"""What no model can check of `[[schedules]]`: times that never come, zones that do not exist, names given twice."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, cast

from caxton.definitions.suggestions import did_you_mean, listed
from caxton.definitions.template_check import check_template
from caxton.definitions.template_language import SCHEDULE_VARIABLES, TemplateScope
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.domain.cron import CronError, check_cron
from caxton.domain.problems import Problem


def check_schedules(source: TomlSource) -> Iterator[Problem]:
    """Problems of the schedules of an agent's file."""
    yield from named_twice(source, "schedules", "schedule")
    for path, entry in entries(source, "schedules"):
        yield from _check_times(source, path, entry)
        yield from check_capability(source, path, entry)
        yield from check_content(source, path, entry, SCHEDULE_VARIABLES)


def check_content(
    source: TomlSource, path: Path, entry: Mapping[str, Any], variables: Sequence[str]
) -> Iterator[Problem]:
    """Problems of the template under `content`, which sees `variables`."""
    content: Any = entry.get("content")
    if isinstance(content, str):
        parameters = source.data.get("parameters")
        keys = tuple(cast("dict[str, Any]", parameters)) if isinstance(parameters, dict) else ()
        yield from check_template(source, (*path, "content"), content, TemplateScope(variables, keys))


def entries(source: TomlSource, key: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The tables of the list under `key`."""
    found: Any = source.data.get(key)
    for index, entry in enumerate(cast("list[Any]", found) if isinstance(found, list) else []):
        if isinstance(entry, dict):
            yield (key, index), cast("dict[str, Any]", entry)


def named_twice(source: TomlSource, key: str, what: str) -> Iterator[Problem]:
    """Entries of the list under `key` that have the name of an earlier one."""
    seen: dict[str, Path] = {}
    for path, entry in entries(source, key):
        name: Any = entry.get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            hint = f"it is on line {source.line_of((*seen[name], 'name'))} already: give one of them another name"
            yield source.problem((*path, "name"), f'the {what} "{name}" is given twice', hint)
        seen.setdefault(name, path)


def check_capability(source: TomlSource, path: Path, entry: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether the capability that an entry asks for is one of the agent's own."""
    wanted: Any = entry.get("capability")
    offered: Any = source.data.get("capabilities")
    if not isinstance(wanted, str) or not isinstance(offered, list):
        return
    names = [
        str(cast("dict[str, Any]", each).get("name")) if isinstance(each, dict) else str(each)
        for each in cast("list[Any]", offered)
    ]
    if wanted not in names:
        hint = did_you_mean(wanted, names) or f"it offers {listed(names)}"
        yield source.problem((*path, "capability"), f'this agent does not offer "{wanted}"', hint)


def _check_times(source: TomlSource, path: Path, entry: Mapping[str, Any]) -> Iterator[Problem]:
    cron: Any = entry.get("cron")
    interval: Any = entry.get("interval")
    zone: Any = entry.get("time_zone")
    if cron is None and interval is None:
        yield source.problem(path, "this schedule does not say when", 'add: cron = "0 7 * * *", or interval = "15m"')
    elif cron is not None and interval is not None:
        yield source.problem((*path, "interval"), "a schedule has a cron expression or an interval", "remove one")
    if isinstance(cron, str):
        try:
            check_cron(cron)
        except CronError as error:
            yield source.problem((*path, "cron"), str(error), error.hint)
    if (isinstance(interval, float) and not interval.is_integer()) or _is_part_of_a_second(interval):
        yield source.problem((*path, "interval"), "an interval has whole seconds", 'write "1s" or more')
    if isinstance(zone, str):
        if zone not in _zones():
            hint = did_you_mean(zone, _zones()) or 'write a name of the IANA database, such as "Europe/Berlin"'
            yield source.problem((*path, "time_zone"), f'there is no time zone "{zone}"', hint)
        elif cron is None and interval is not None:
            yield source.problem(
                (*path, "time_zone"), "an interval needs no time zone", "remove it, or write `cron`", severity="warning"
            )


def _is_part_of_a_second(interval: Any) -> bool:
    if not isinstance(interval, str):
        return False
    from caxton.domain.quantities import parse_duration

    try:
        seconds: Any = parse_duration(interval)
    except ValueError:
        return False
    return seconds != int(seconds)


@cache
def _zones() -> frozenset[str]:
    # The package's own list: a system's folder has hundreds of files, each of which would have to be read.
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(text.split())
