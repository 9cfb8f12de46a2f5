"""Reads uploaded definitions, tried first in a confined process: `python -P -m caxton.adapters.definitions`.

A file of a few characters can take minutes and gigabytes to read: a regular expression whose counts multiply, a table of
a hundred thousand keys. What ends the child is a problem of that file; what does not is cheap enough to be read here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from caxton.adapters.confined import ConfinedChildren, Ended, serve
from caxton.definitions.agent_modules import ModuleFile
from caxton.definitions.agents import AgentSource
from caxton.definitions.bundles import compile_bundle, modules_in
from caxton.definitions.capability_schemas import SCHEMA_SUFFIX
from caxton.definitions.reading import Reading
from caxton.definitions.tools import ToolSource
from caxton.domain.deployments import Bundle
from caxton.domain.problems import Problem

CPU_LIMIT: Final = 1.0
"""Seconds of CPU for one agent or tool; ordinary ones take milliseconds."""

MEMORY_LIMIT: Final = 96 << 20

REPLACED_ABOVE: Final = 120 << 20

PROBLEMS: Final = 1_000
"""Problems of one agent that are told."""

CHILDREN: Final = 4
"""Customers whose definitions are read at a time."""

_MODULE: Final = "caxton.adapters.definitions"


class DefinitionReader:
    """Reads bundles; those of one customer after another."""

    def __init__(self) -> None:
        """Start nothing before the first."""
        self._children = ConfinedChildren(_MODULE)
        self._free = asyncio.Semaphore(CHILDREN)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def read(
        self, customer: str, bundle: Bundle, contents: Mapping[str, bytes]
    ) -> Reading[AgentSource] | Reading[ToolSource]:
        """The definition that a bundle is, or what is wrong with it."""
        turn = self._turns[customer]
        try:
            async with turn, self._free:
                return await asyncio.to_thread(self._read, bundle, contents)
        finally:
            if not turn.locked():
                self._turns.pop(customer, None)

    def close(self) -> None:
        """Ends the children."""
        self._children.close()

    def _read(self, bundle: Bundle, contents: Mapping[str, bytes]) -> Reading[AgentSource] | Reading[ToolSource]:
        read = (".toml", SCHEMA_SUFFIX)
        texts = {path: content.decode("latin-1") for path, content in contents.items() if path.endswith(read)}
        modules = modules_in(bundle, contents)
        described = {path: asdict(module) for path, module in modules.items()}
        request = {"bundle": bundle.model_dump(), "contents": texts, "arrived": list(contents), "modules": described}
        try:
            reply = self._children.ask(request)
        except Ended as ended:
            return Reading(None, [_too_costly(bundle, ended.limit)])
        if bundle.kind == "agent" and reply["problems"] is not None:
            return Reading(None, [Problem.model_validate(problem) for problem in reply["problems"]])
        return compile_bundle(bundle, contents, modules)


def _too_costly(bundle: Bundle, limit: str) -> Problem:
    most = f"{CPU_LIMIT:g} s of CPU" if limit == "time" else f"{MEMORY_LIMIT >> 20} MB of memory"
    return Problem(
        file=f"agents/{bundle.name}.toml" if bundle.kind == "agent" else f"tools/{bundle.name}/tool.toml",
        width=0,
        message=f"reading it takes more than {most}",
        hint="make it smaller, and its regular expressions and templates simpler",
    )


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    contents = {path: text.encode("latin-1") for path, text in request["contents"].items()}
    bundle = Bundle.model_validate(request["bundle"])
    everything = {path: contents.get(path, b"") for path in request["arrived"]}
    modules = {path: ModuleFile(**described) for path, described in request["modules"].items()}
    reading = compile_bundle(bundle, everything, modules)
    problems = [problem.model_dump() for problem in reading.problems[:PROBLEMS]]
    return {"problems": problems if reading.value is None else None}


def main() -> None:
    """Answers requests until there are no more."""
    import jinja2  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import regex  # noqa: F401  # pyright: ignore[reportUnusedImport] - what is loaded now costs no request

    serve(_answer, memory=MEMORY_LIMIT, cpu=CPU_LIMIT, replaced_above=REPLACED_ABOVE)


if __name__ == "__main__":
    main()
