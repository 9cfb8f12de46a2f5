"""Reading and checking agents of kind "wasm": their components, as far as that can be told without compiling them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from caxton.definitions.suggestions import did_you_mean, listed
from caxton.definitions.toml_positions import Path
from caxton.definitions.toml_source import TomlSource
from caxton.definitions.tools import MODULE_LIMIT
from caxton.domain.agent_modules import FUNCTION
from caxton.domain.ids import Digest, digest_of
from caxton.domain.origins import checked_origin
from caxton.domain.problems import Problem
from caxton.domain.quantities import format_size
from caxton.domain.wasm_binary import COMPONENT_MAGIC, MODULE, Unreadable, component_names

MODULE_SUFFIX: Final = ".wasm"

HOST: Final = "caxton:agent/host@0.1.0"
STATE: Final = "caxton:agent/state@0.1.0"
"""Interfaces that an agent may import. A last number that is higher adds nothing that it could need."""

_OF_MODELS: Final = ("model", "script", "model_settings", "system_prompt", "user_prompt_template")
"""Keys that mean nothing where no model answers."""

_OF_WORK: Final = ("tools", "delegates", "tool_policies", "parameters")
"""Keys that mean nothing where the work is done elsewhere."""

_PLACE: Final[Path] = ("wasm", "module")


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A file beside an agent that is said to be its component: what is known of it without compiling it."""

    digest: Digest
    size: int
    form: str
    """"component", "module" for a core module, or "" for what is no WebAssembly."""
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    @property
    def keeps_state(self) -> bool:
        """Whether it imports the functions that keep something."""
        return any(_interface(name) == _interface(STATE) for name in self.imports)


def describe_module(content: bytes) -> ModuleFile:
    """What is known of a file with `content`."""
    digest, size = digest_of(content), len(content)
    if content.startswith(MODULE):
        return ModuleFile(digest, size, "module")
    if not content.startswith(COMPONENT_MAGIC):
        return ModuleFile(digest, size, "")
    try:
        names = component_names(content)
    except Unreadable:
        return ModuleFile(digest, size, "")
    return ModuleFile(digest, size, "component", tuple(names.imports), tuple(names.exports))


def check_kind(source: TomlSource) -> Iterator[Problem]:
    """What does not go together with the agent's kind."""
    kind = source.data.get("kind")
    if kind not in (None, "model", "wasm", "a2a"):
        return  # the model says so, and what goes with the kind that was meant nobody knows
    is_wasm = kind == "wasm"
    if is_wasm and "wasm" not in source.data:
        hint = f'add a table [wasm] with: module = "{source.data.get("name", "my-agent")}{MODULE_SUFFIX}"'
        yield source.problem(("kind",), 'an agent of the kind "wasm" needs its component', hint)
    if "wasm" in source.data and not is_wasm:
        yield source.problem(("wasm",), '[wasm] is for agents of the kind "wasm"', 'write: kind = "wasm"', at="key")
    if kind == "a2a" and "a2a" not in source.data:
        hint = 'add a table [a2a] with: url = "https://agents.example.com/translator"'
        yield source.problem(("kind",), 'an agent of the kind "a2a" needs its address', hint)
    if "a2a" in source.data and kind != "a2a":
        yield source.problem(("a2a",), '[a2a] is for agents of the kind "a2a"', 'write: kind = "a2a"', at="key")
    forbidden = _OF_MODELS if is_wasm else (*_OF_MODELS, *_OF_WORK) if kind == "a2a" else ()
    for key in forbidden:
        if key in source.data:
            here = "a component" if is_wasm else "an agent elsewhere"
            what = "models" if key in _OF_MODELS else "agents that work here"
            yield source.problem((key,), f'"{key}" is for {what}, and {here} answers here', "remove it", at="key")


def check_network(source: TomlSource) -> Iterator[Problem]:
    """Origins that no call would ever match."""
    origins: Any = source.get(("wasm", "permissions", "network"))
    for index, origin in enumerate(cast("list[Any]", origins) if isinstance(origins, list) else []):
        if not isinstance(origin, str):
            continue
        try:
            checked_origin(origin)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            yield source.problem(("wasm", "permissions", "network", index), message, hint or None)


def check_module(source: TomlSource, modules: Mapping[str, ModuleFile]) -> Iterator[Problem]:
    """What is wrong with the component that the agent in `source` names, of those beside it."""
    name: Any = source.get(_PLACE)
    if not isinstance(name, str) or "/" in name or "\\" in name or name.startswith("."):
        return  # the model says what is wrong with it
    module = modules.get(name)
    if module is None:
        folder = f"agents/{source.data.get('name', 'NAME')}"
        hint = did_you_mean(name, list(modules)) or (
            f"build it, and put it beside this file: `caxton agent init` writes a source and {folder}/README.md, which says how"
        )
        if modules and not did_you_mean(name, list(modules)):
            hint = f"beside this file there is {listed(sorted(modules))}"
        yield source.problem(_PLACE, f'the module "{name}" is missing', hint)
    elif not name.endswith(MODULE_SUFFIX):
        yield source.problem(_PLACE, f'the name of a module ends in "{MODULE_SUFFIX}"', "name the file so")
    elif module.size > MODULE_LIMIT:
        sizes = f"{format_size(module.size)}, more than {format_size(MODULE_LIMIT)}"
        yield source.problem(_PLACE, f'"{name}" has {sizes}', "build it for release and strip it")
    elif module.form == "module":
        hint = "make a component of it, of the world caxton:agent/agent: `caxton agent wit` writes it"
        yield source.problem(_PLACE, f'"{name}" is a core module, and an agent is a component', hint)
    elif module.form != "component":
        hint = "name the .wasm file that the compiler made"
        yield source.problem(_PLACE, f'"{name}" is not WebAssembly', hint)
    else:
        yield from _check_world(source, name, module)


def _check_world(source: TomlSource, name: str, module: ModuleFile) -> Iterator[Problem]:
    """The names are checked here, so that all that is wrong comes at once; their types where it is compiled."""
    world = "build it for the world caxton:agent/agent: `caxton agent wit` writes it"
    for imported in module.imports:
        known = next((each for each in (HOST, STATE) if _interface(each) == _interface(imported)), None)
        if known is not None:
            continue
        own = next((each for each in (HOST, STATE) if imported.partition("@")[0] == each.partition("@")[0]), None)
        if own is not None:
            message = f'"{name}" imports "{imported}", and this version of Caxton has "{own}"'
            yield source.problem(_PLACE, message, world)
        elif imported.startswith("wasi:"):
            hint = "build it without WASI, for example with componentize-py's or componentize-qjs's --stub-wasi"
            yield source.problem(_PLACE, f'"{name}" imports "{imported}", and an agent has no WASI', hint)
            return  # one of many
        elif imported.startswith("caxton:tool/"):
            yield source.problem(_PLACE, f'"{name}" is a tool: it imports "{imported}"', f"name an agent; {world}")
            return
        else:
            message = f'"{name}" imports "{imported}", and an agent may import "{HOST}" and "{STATE}" only'
            yield source.problem(_PLACE, message, world)
    if FUNCTION not in module.exports:
        wanted = f"{FUNCTION}: func(message: string) -> result<string, string>"
        yield source.problem(_PLACE, f'"{name}" does not export {wanted}', world)


def _interface(name: str) -> str:
    """The name of an interface up to what may differ: the last number of its version."""
    return name.rpartition(".")[0]
