"""The allocations that a module can cause in wasmtime, read from its bytes before anything is compiled.

wasmtime limits each memory and each table, but not their sum, and says nothing of what an instance itself takes. So the
memories, tables and instances that a module or component makes are counted here, and `Shape.ceilings` says how large
each may grow so that everything together stays within `limits.memory`.

Binary formats: WebAssembly/spec, "Binary Format", and WebAssembly/component-model, design/mvp/Binary.md.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from caxton.domain.wasm_binary import COMPONENT, CORE, Reader, Unreadable, described, extern_name, sort_of

PAGE: Final = 64 << 10

INSTANCES: Final = 200
"""Core instances in a component; componentize-py makes about 30."""

TABLES: Final = 200
"""Tables of all instances together."""

MEMORIES: Final = 4
"""Memories of all instances together. A module has one; what the JavaScript toolchain builds has three, two of them of a
page or so."""

_INSTANCE_BYTES: Final = 1_024
_FUNCTION_BYTES: Final = 32
_GLOBAL_BYTES: Final = 32
"""What wasmtime keeps at most for an instance, and for each of its functions and globals."""

_ELEMENT_BYTES: Final = 16
"""What an entry of a table takes at most; of functions it is 8."""

_HANDLES_BYTES: Final = 3 << 20
"""What handles of resources take at most: wasmtime stops at 100,000 or so a store."""

_TABLE_SHARE: Final = 4
"""Tables that can grow get this part (1/4) of the memory at most: languages use them for function pointers."""


class TooComplex(ValueError):
    """The module is valid perhaps, but makes more than can be counted or allowed; the text says what."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How large one memory (bytes) and one table (entries) of a store may become, and how many instances there may be."""

    memory: int
    table: int
    instances: int = INSTANCES


@dataclass(slots=True)
class Shape:
    """What one instantiation makes, all of its core instances together."""

    memories: Counter[int] = field(default_factory=Counter[int])
    """How many memories, by the most pages that they declare."""
    tables: Counter[int] = field(default_factory=Counter[int])
    """How many tables, by the most entries that they declare."""
    instances: int = 0
    fixed: int = 0
    """Bytes that the instances take themselves."""
    handles: bool = False
    """Whether it can make handles of resources."""

    def add(self, other: "Shape") -> None:
        """Counts what `other` makes too."""
        self.memories += other.memories
        self.tables += other.tables
        self.instances += other.instances
        self.fixed += other.fixed
        self.handles |= other.handles

    def check(self) -> None:
        """Checks the numbers.

        Raises:
            TooComplex: there is more than a tool may make.
        """
        for what, count, limit in (
            ("instances", self.instances, INSTANCES),
            ("tables", self.tables.total(), TABLES),
            ("memories", self.memories.total(), MEMORIES),
        ):
            if count > limit:
                raise TooComplex(f"it makes more than the {limit} {what} that a tool may have")

    def ceilings(self, limit: int) -> Ceilings:
        """The ceilings with which everything takes at most `limit` bytes; with no instances if these
        alone take more."""
        room = limit - self.fixed - (_HANDLES_BYTES if self.handles else 0)
        if room < 0:
            return Ceilings(0, 0, 0)
        entry = _level(self.tables, room // _TABLE_SHARE // _ELEMENT_BYTES)
        room -= _ELEMENT_BYTES * sum(count * min(most, entry) for most, count in self.tables.items())
        return Ceilings(PAGE * _level(self.memories, room // PAGE), entry)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"memories": sorted(self.memories.items()), "tables": sorted(self.tables.items())}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Shape":
        """What `to_json` made."""
        counts = {kind: Counter(dict(value[kind])) for kind in ("memories", "tables")}
        return cls(**counts, instances=value["instances"], fixed=value["fixed"], handles=value["handles"])


def pack(shape: Shape, compiled: bytes) -> bytes:
    """Compiled code together with the shape of what it was compiled from."""
    return json.dumps(shape.to_json()).encode() + b"\n" + compiled


def unpack(packed: bytes) -> tuple[Shape, bytes]:
    """What `pack` put together."""
    head, _, compiled = packed.partition(b"\n")
    return Shape.from_json(json.loads(head)), compiled


def _level(wanted: Counter[int], room: int) -> int:
    """The highest level with which everybody who wants so much, but at most the level, gets `room` together."""
    left = wanted.total()
    for most, count in sorted(wanted.items()):
        if most * left > room:
            return room // left
        room -= most * count
        left -= count
    return max(wanted, default=0)


def shape_of(content: bytes) -> Shape:
    """What an instantiation of the module or component `content` makes.

    Raises:
        Unreadable: it is neither; wasmtime says why.
        TooComplex: it makes more than can be allowed or counted.
    """
    if content[4:8] == b"\x01\0\0\0":
        shape = _module(Reader(content, 8, len(content)))
    else:
        shape = _Component([]).read(Reader(content, 8, len(content)))
    shape.check()
    return shape


def _module(reader: Reader) -> Shape:
    shape = Shape(instances=1)
    functions = values = elements = 0
    while reader.more():
        kind, section = reader.section()
        size = section.left
        if kind == 2:
            for _ in range(section.number()):
                imported = _import(section)
                functions += imported == 0
                values += imported != 0
        elif kind == 3:
            functions += section.number()
        elif kind == 4:
            for _ in range(section.number()):
                shape.tables[_table(section)] += 1
        elif kind == 5:
            for _ in range(section.number()):
                shape.memories[min(section.limits(), 1 << 16)] += 1
        elif kind == 6:
            values += section.number()
        elif kind == 9:
            elements = size
    shape.fixed = (
        _INSTANCE_BYTES
        + _FUNCTION_BYTES * functions
        + _GLOBAL_BYTES * values
        + _ELEMENT_BYTES * elements  # an entry of a segment has a byte at least, and segments are held in memory
    )
    return shape


def _import(section: Reader) -> int:
    """Passes over an import; its kind."""
    section.name()
    section.name()
    kind = section.byte()
    if kind == 0:
        section.number()
    elif kind == 1:
        section.value_type()
        section.limits()
    elif kind == 2:
        section.limits()
    elif kind == 3:
        section.value_type()
        section.byte()
    else:  # tags of exceptions, which are off
        raise Unreadable
    return kind


def _table(section: Reader) -> int:
    first = section.byte()
    if first == 0x40:  # with a value to begin with, of function references, which are off
        raise Unreadable
    if first in (0x63, 0x64):
        section.number()
    return section.limits()


_NESTING: Final = 16
"""Levels of components in components."""

_DEFINITION_BYTES: Final = 256
"""What a canonical definition takes at most: its trampoline, and its part of what wasmtime puts between components."""

_CORE_MODULE: Final = 0x11


@dataclass(slots=True)
class _Space:
    """The index spaces of a component that matter here. What comes from elsewhere is None: it cannot be counted."""

    modules: list[Shape | None] = field(default_factory=list[Shape | None])
    components: list[Shape | None] = field(default_factory=list[Shape | None])

    def of(self, sort: tuple[int, int]) -> list[Shape | None] | None:
        """The index space of a sort, if it is one of them."""
        if sort == (CORE, _CORE_MODULE):
            return self.modules
        return self.components if sort[0] == COMPONENT else None


class _Component:
    """Counts what an instantiation of a component makes."""

    def __init__(self, enclosing: "list[_Space]") -> None:
        self._spaces = [*enclosing, _Space()]
        self._space = self._spaces[-1]
        self._shape = Shape()
        if len(enclosing) > _NESTING:
            raise TooComplex(f"it has components in components, more than {_NESTING} levels deep")

    def read(self, reader: Reader) -> Shape:
        """All sections, in their order: an index means what was defined before."""
        while reader.more():
            kind, section = reader.section()
            if kind == 1:
                self._space.modules.append(_module(_nested(section, b"\x01\0\0\0")))
            elif kind == 4:
                self._space.components.append(_Component(self._spaces).read(_nested(section, b"\x0d\0\x01\0")))
            elif work := self._ITEMS.get(kind):
                for _ in range(section.number()):
                    work(self, section)
        return self._shape

    def _core_instance(self, section: Reader) -> None:
        if section.byte():
            for _ in range(section.number()):
                section.name()
                section.byte()
                section.number()
            return
        self._instantiate(self._space.modules, section.number())
        for _ in range(section.number()):
            section.name()
            section.byte()
            section.number()

    def _instance(self, section: Reader) -> None:
        if section.byte():
            for _ in range(section.number()):
                extern_name(section)
                sort_of(section)
                section.number()
            return
        self._instantiate(self._space.components, section.number())
        for _ in range(section.number()):
            section.name()
            sort_of(section)
            section.number()

    def _instantiate(self, space: list[Shape | None], index: int) -> None:
        if index >= len(space):
            raise Unreadable
        shape = space[index]
        if shape is None:
            raise TooComplex("it makes instances of a module that comes from elsewhere, which cannot be counted")
        self._shape.add(shape)
        self._shape.check()

    def _alias(self, section: Reader) -> None:
        sort, target = sort_of(section), section.byte()
        found: Shape | None = None
        if target == 2:
            outwards, index = section.number(), section.number()
            space = self._spaces[-1 - outwards].of(sort) if outwards < len(self._spaces) else None
            found = space[index] if space is not None and index < len(space) else None
        else:
            section.number()
            section.name()
        self._define(sort, found)

    def _import(self, section: Reader) -> None:
        extern_name(section)
        self._define(described(section), None)

    def _export(self, section: Reader) -> None:
        extern_name(section)
        sort, index = sort_of(section), section.number()
        space = self._space.of(sort)
        self._define(sort, space[index] if space is not None and index < len(space) else None)
        if section.byte():
            described(section)

    def _canonical(self, section: Reader) -> None:
        kind = section.byte()
        if kind in (0, 1):
            section.byte()
            section.number()
            for _ in range(section.number()):
                if section.byte() in (3, 4, 5, 7, 8):
                    section.number()
            if kind == 0:
                section.number()
        elif kind in (2, 3, 4, 7):
            self._shape.handles |= kind == 2
            section.number()
        else:
            raise TooComplex(f"it uses the canonical built-in 0x{kind:02x}, which tools have no use for")
        self._shape.fixed += _DEFINITION_BYTES

    def _define(self, sort: tuple[int, int], shape: Shape | None) -> None:
        space = self._space.of(sort)
        if space is not None:
            space.append(shape)

    _ITEMS: Final[dict[int, Callable[["_Component", Reader], None]]] = {
        2: _core_instance,
        5: _instance,
        6: _alias,
        8: _canonical,
        10: _import,
        11: _export,
    }


def _nested(section: Reader, version: bytes) -> Reader:
    if section.take(8) != b"\0asm" + version:
        raise Unreadable
    return section
