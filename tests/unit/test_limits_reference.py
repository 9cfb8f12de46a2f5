"""The page of limits says what the code says, and no limit is missing from it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import caxton
from caxton.runtime.limits_reference import TARGET, Limit, page, table, value_of
from caxton.runtime.settings import Settings

ROOT = Path(caxton.__file__).parent
LIMIT = re.compile(r"MOST(_[A-Z]+)*|MAX(_[A-Z]+)*|LONGEST(_[A-Z]+)*|LARGEST(_[A-Z]+)*|DEEPEST|[A-Z_]+_LIMIT")
SECTIONS = ("limits", "tools.limits", "tools.maximum", "flow.each_customer")
"""Sections of the settings that are made of limits."""
SHARES = {"flow.each_customer.priority"}

sections, internal = table()


def constants() -> Iterator[str]:
    """Constants of the server with a number, which are named like limits."""
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT.parent)
        if "migrations" in relative.parts or relative.parts[1] in ("client", "testing"):
            continue
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and LIMIT.fullmatch(target.id) and value is not None and _number(value):
                yield f"{module}.{target.id}"


def _number(value: ast.expr) -> bool:
    parts = (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))
    return any(isinstance(part, int | float) for part in parts)


def test_the_page_is_not_stale() -> None:
    assert TARGET.read_text() == page(), "run: make docs"


def test_no_constant_that_is_named_like_a_limit_is_forgotten() -> None:
    listed = {limit.source.removeprefix("constant:") for limits in sections.values() for limit in limits}
    found = set(constants())
    assert found - listed - internal == set(), (
        "add a row to caxton/runtime/limits.toml, or name the constant in `internal`"
    )
    assert internal - found == set(), "`internal` names constants that are gone"
    assert internal & listed == set()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_that_is_a_limit_is_on_the_page(section: str) -> None:
    listed = {limit.source.removeprefix("setting:") for limits in sections.values() for limit in limits}
    model: type[BaseModel] = Settings
    for part in section.split("."):
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        model = annotation
    assert {f"{section}.{name}" for name in model.model_fields} - SHARES - listed == set()


@pytest.mark.parametrize(
    ("source", "beyond"),
    [
        ("constant:caxton.turns.accept.NO_SUCH", "overloaded"),
        ("setting:limits.no_such", "overloaded"),
        ("field:caxton.domain.agents.AgentSpec.model", "overloaded"),
        ("number:7", "overloaded"),
    ],
)
def test_a_row_without_a_value_stops_the_page(source: str, beyond: str) -> None:
    with pytest.raises((LookupError, AttributeError)):
        value_of(Limit("a limit", source, "count", "request", beyond))
