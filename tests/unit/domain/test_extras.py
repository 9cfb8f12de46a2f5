"""What each extra of the package brings, against what the code imports and what the package says."""

import ast
import json
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest

from caxton.domain import extras
from caxton.domain.extras import EXTRAS, extra_of, install_command, require

ROOT = Path(__file__).resolve().parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"caxton", "caxton_minilm"}
OPTIONAL = {"httpcore": "httpx", "httpx2": "openai", "socksio": None}
"""Imported with what brings it; None where nothing has to."""
OF_TESTS = {"pytest"}
"""Imported by what tests of other people's back ends use."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return normal(found[0])


@cache
def closure(name: str) -> frozenset[str]:
    """A distribution and all that it cannot do without. What its own extras add counts where ours ask for them by name."""
    try:
        needed = requires(name) or []
    except Exception:  # not on this platform
        return frozenset({name})
    always = [named(each) for each in needed if "extra ==" not in each]
    return frozenset({name}).union(*(closure(each) for each in always if each != name))


def brought(requirements: list[str]) -> set[str]:
    """The distributions that are installed with `requirements`."""
    found: set[str] = set()
    for requirement in requirements:
        name = named(requirement)
        if name == "caxton":
            for extra in re.findall(r"[\w-]+", requirement.partition("[")[2]):
                found |= brought(PROJECT["optional-dependencies"][extra])
            continue
        found |= closure(name)
        wanted = set(re.findall(r"[\w-]+", requirement.partition("[")[2].partition("]")[0]))
        for each in requires(name) or []:
            if any(f"extra == '{extra}'" in each.replace('"', "'") for extra in wanted):
                found |= closure(named(each))
    return found


def imported() -> dict[str, str]:
    """The first level of every module of others that Caxton imports, with a file that does."""
    found: dict[str, str] = {}
    for path in (ROOT / "caxton").rglob("*.py"):
        if "bundled" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module" and node.args:
                first = node.args[0]
                names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
            for name in names:
                found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | {"caxton"}}


def test_every_module_that_is_imported_comes_with_the_core_or_with_an_extra_that_says_so() -> None:
    core = brought(PROJECT["dependencies"])
    places = packages_distributions()
    for module, file in imported().items():
        if module in OF_TESTS or OPTIONAL.get(module, "") is None:
            continue
        distributions = {normal(name) for name in places.get(module, [OPTIONAL.get(module, module)])}
        extra = next(
            (extra for extra, names in EXTRAS.items() for name in names if name.partition(".")[0] == module), None
        )
        if extra is None:
            assert distributions & core, f"{file} imports {module}, which no extra of caxton.domain.extras brings"
        else:
            assert distributions & brought(PROJECT["optional-dependencies"][extra]), (
                f"{module} does not come with {extra}"
            )
            assert not distributions <= core, f"{module} comes with the core"


def test_the_core_brings_none_of_what_weighs() -> None:
    heavy = {
        "lancedb",
        "pylance",
        "pyarrow",
        "numpy",
        "onnxruntime",
        "wasmtime",
        "temporalio",
        "openai",
        "sqlalchemy",
        "fastapi",
    }
    assert not heavy & brought(PROJECT["dependencies"])


def test_everything_is_one_extra() -> None:
    every = set[str]().union(*(brought(each) for each in PROJECT["optional-dependencies"].values()))
    assert brought(PROJECT["optional-dependencies"]["all"]) == every


def test_modules_are_found_in_their_extra() -> None:
    assert extra_of("wasmtime.component") == "server"
    assert extra_of("lancedb") == extra_of("lance.dataset") == "memory"
    assert extra_of("google.protobuf.message") == "server"
    assert extra_of("wasm") is None


class _From:
    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, _name: str) -> str | None:
        return json.dumps(self.origin) if self.origin else None


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "'caxton[server]'"),
        ({"url": "https://example.com/caxton.whl"}, "'caxton[server]'"),
        ({"url": "file:///gone/caxton.whl"}, "'caxton[server]'"),
        ({"url": ROOT.as_uri(), "dir_info": {}}, f"'{ROOT}[server]'"),
        ({"url": ROOT.as_uri(), "dir_info": {"editable": True}}, f"-e '{ROOT}[server]'"),
    ],
)
def test_the_command_installs_from_where_caxton_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None, expected: str
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda _name: _From(origin))
    assert install_command("server").endswith(f"pip install {expected}")


def test_what_is_installed_is_not_complained_of() -> None:
    for extra in EXTRAS:
        require(extra)
    assert distribution("caxton").metadata["Name"] == "caxton"
