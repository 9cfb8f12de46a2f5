"""The compiler's child process: `python -P -m caxton.adapters.sandbox.compile FORM MODULE OUTPUT`.

Compiling is the one step in which native code reads a stranger's bytes at length, so it happens here, where a limit
ends a process that nobody else lives in. The child also checks that the module has the shape that Caxton calls, so
that the server never inspects the types of a module that did not pass.

Exit codes: 0 and OUTPUT is written; 3 and standard output says why the module cannot be a tool.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caxton.adapters.confine import confine
from caxton.adapters.sandbox.shape import Shape, TooComplex, Unreadable, pack, shape_of

if TYPE_CHECKING:
    import wasmtime

MEMORY_BASE: Final = 512 << 20
MEMORY_PER_BYTE: Final = 96
MEMORY_MOST: Final = 3 << 30
"""Bytes that a compilation may use: so many, and so many more a byte of the module. componentize-py's 18 MB take about
1.5 GB."""

CPU_BASE: Final = 30
CPU_PER_MEGABYTE: Final = 10
"""Seconds of CPU, all threads together; componentize-py's 18 MB take about 35 on a fast machine."""

OUTPUT_LIMIT: Final = 512 << 20
"""Bytes of compiled code."""

REFUSED: Final = 3
"""Exit code when the module is at fault."""

Signature = tuple[list[str], str]
"""Parameters and result of a function, as WIT writes their types."""

WORLDS: Final[dict[str, tuple[tuple[str, ...], dict[str, Signature]]]] = {
    "component": (
        ("caxton:tool/host@0.1.",),
        {"describe": ([], "string"), "call": (["string", "string"], "result<string, string>")},
    ),
    "agent": (
        ("caxton:agent/host@0.1.", "caxton:agent/state@0.1."),
        {"handle": (["string"], "result<string, string>")},
    ),
}
"""What components of each form may import, and what they export: parameters and result of each function."""

FUNCTIONS: Final[dict[str, Signature]] = {
    "fetch": (["string"], "result<string, string>"),
    "read-file": (["string"], "result<string, string>"),
    "environment": (["string"], "result<string, string>"),
    "log": (["string", "string"], ""),
    "get": (["string"], "option<string>"),
    "set": (["string", "string"], "result<_, string>"),
    "delete": (["string"], ""),
    "keys": ([], "list<string>"),
}
"""Functions of all interfaces that Caxton has."""

WASI: Final = "wasi_snapshot_preview1"


class Refused(Exception):
    """The module is not one that Caxton can run; the text says why."""


def compile_component(engine: "wasmtime.Engine", content: bytes, form: str = "component") -> bytes:
    """The compiled code of a component of the world of its form, see `WORLDS`.

    Raises:
        Refused: it imports or exports something else.
        wasmtime.WasmtimeError: it is not valid.
    """
    from wasmtime.component import Component, ComponentInstanceType

    imports, exports = WORLDS[form]
    component = Component(engine, content)
    kind = component.type
    for name, item in kind.imports(engine).items():
        if not name.startswith(imports):
            raise Refused(_strange_import(name, form, imports))
        functions = item.ty.exports(engine) if isinstance(item.ty, ComponentInstanceType) else {}
        for function, imported in functions.items():
            signature = _signature(imported.ty)
            if signature is not None and signature != FUNCTIONS.get(function):
                raise Refused(f'it imports "{function}" of "{name}", which has another type here, or is not there')
    for name, wanted in exports.items():
        export = kind.exports(engine).get(name)
        found = _signature(export.ty) if export is not None else None
        told = f"{name}: func({', '.join(wanted[0])}) -> {wanted[1]}"
        if found is None:
            raise Refused(f"it does not export {told}")
        if found != wanted:
            raise Refused(f'its export "{name}" has another type than {told}')
    return bytes(component.serialize())


def _strange_import(name: str, form: str, imports: tuple[str, ...]) -> str:
    """Why the import cannot be."""
    noun = "agent" if form == "agent" else "tool"
    own = next((each for each in imports if name.startswith(each.partition("@")[0] + "@")), None)
    if own is not None:
        return f'it imports "{name}", and this version of Caxton has "{own}0"'
    may = " and ".join(f'"{each}0"' for each in imports)
    return f'it imports "{name}", and {"an" if noun == "agent" else "a"} {noun} may import nothing but {may}'


def _signature(kind: object) -> Signature | None:
    """Parameters and result of a function; None for what is none."""
    from wasmtime.component import FuncType

    if not isinstance(kind, FuncType):
        return None
    return [_wit(parameter) for _, parameter in kind.params], _wit(kind.result) if kind.result is not None else ""


def _wit(kind: object) -> str:
    """How WIT writes the types that the worlds use; "?" for any other."""
    from wasmtime.component import ListType, OptionType, ResultType, String

    if isinstance(kind, String):
        return "string"
    if isinstance(kind, ResultType):
        return f"result<{'_' if kind.ok is None else _wit(kind.ok)}, {_wit(kind.err)}>"
    if isinstance(kind, OptionType):
        return f"option<{_wit(kind.payload)}>"
    if isinstance(kind, ListType):
        return f"list<{_wit(kind.element)}>"
    return "?"


def compile_command(engine: "wasmtime.Engine", content: bytes) -> bytes:
    """The compiled code of a WASI preview 1 command.

    Raises:
        Refused: it imports something else than WASI preview 1, or it is not a command.
        wasmtime.WasmtimeError: it is not valid.
    """
    import wasmtime

    module = wasmtime.Module(engine, content)
    for item in module.imports:
        if item.module != WASI:
            raise Refused(f'it imports "{item.name}" from "{item.module}", and a command may import "{WASI}" only')
    kinds = {item.name: item.type for item in module.exports}
    start = kinds.get("_start")
    if not isinstance(start, wasmtime.FuncType) or start.params or start.results:
        raise Refused('it does not export "_start: func()", so it is a library, not a command')
    if not isinstance(kinds.get("memory"), wasmtime.MemoryType):
        raise Refused('it does not export its memory as "memory"')
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    try:
        linker.instantiate_pre(module)
    except wasmtime.WasmtimeError as error:
        raise Refused(_first_line(str(error))) from error
    return bytes(module.serialize())


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), text)


def _summary(error: "wasmtime.WasmtimeError") -> str:
    """wasmtime's message in one line: its own heading and the cause below it."""
    lines: Iterator[str] = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and line != "Caused by:")[:500]


def _shape(content: bytes) -> Shape | None:
    """What the module makes; None if its bytes are not as they should be, which wasmtime has better words for.

    Raises:
        Refused: it makes too much.
    """
    try:
        return shape_of(content)
    except TooComplex as error:
        raise Refused(str(error)) from None
    except Unreadable:
        return None


def main(form: str, source: str, target: str) -> int:
    """Compiles the file `source` into `target`; returns the exit code."""
    content = Path(source).read_bytes()
    confine(
        memory=min(MEMORY_BASE + MEMORY_PER_BYTE * len(content), MEMORY_MOST),
        cpu=CPU_BASE + CPU_PER_MEGABYTE * (len(content) >> 20),
        output=OUTPUT_LIMIT,
    )
    import wasmtime

    from caxton.adapters.sandbox.engine import new_engine

    engine = new_engine()
    try:
        shape = _shape(content)
        compiled = compile_command(engine, content) if form == "command" else compile_component(engine, content, form)
        if shape is None:
            raise Refused("Caxton cannot read its sections")
    except Refused as error:
        sys.stdout.write(str(error))
        return REFUSED
    except wasmtime.WasmtimeError as error:
        sys.stdout.write(_summary(error))
        return REFUSED
    with Path(target).open("wb") as file:
        file.write(pack(shape, compiled))
        file.flush()
        os.fsync(file.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
