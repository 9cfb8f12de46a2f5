"""The binary format of WebAssembly, as far as it is read here: what a component imports and exports, by name.

WebAssembly/spec, "Binary Format", and WebAssembly/component-model, design/mvp/Binary.md.
"""

from dataclasses import dataclass, field
from typing import Final

MODULE: Final = b"\0asm\x01\0\0\0"
COMPONENT_MAGIC: Final = b"\0asm\x0d\0\x01\0"
"""How a core module and a component begin."""

MOST_PARTS: Final = 20_000
"""Sections, imports and exports of a component that is read here."""

CORE, _FUNCTION, _VALUE, _TYPE, COMPONENT, _INSTANCE = range(6)
_UNLIMITED: Final = 1 << 32


class Unreadable(ValueError):
    """The bytes are not a module; what exactly is wrong is wasmtime's to say."""


class Reader:
    """Reads a part of the bytes from its beginning to its end."""

    def __init__(self, content: bytes, start: int, end: int) -> None:
        self._content, self.at, self._end = content, start, end

    def more(self) -> bool:
        return self.at < self._end

    @property
    def left(self) -> int:
        return self._end - self.at

    def byte(self) -> int:
        if self.at >= self._end:
            raise Unreadable
        self.at += 1
        return self._content[self.at - 1]

    def number(self) -> int:
        """An unsigned LEB128 of at most 64 bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Unreadable

    def skip(self, size: int) -> int:
        """Passes over so many bytes; where they begin."""
        begin = self.at
        if size > self._end - begin:
            raise Unreadable
        self.at += size
        return begin

    def take(self, size: int) -> bytes:
        begin = self.skip(size)
        return self._content[begin : begin + size]

    def name(self) -> None:
        self.skip(self.number())

    def section(self) -> tuple[int, "Reader"]:
        kind = self.byte()
        size = self.number()
        begin = self.skip(size)
        return kind, Reader(self._content, begin, begin + size)

    def limits(self) -> int:
        """The most that a memory's or table's limits allow."""
        flags = self.byte()
        if flags & ~0x0D:
            raise Unreadable
        self.number()
        most = self.number() if flags & 1 else _UNLIMITED
        if flags & 8:  # an own page size
            self.number()
        return most

    def value_type(self) -> None:
        if self.byte() in (0x63, 0x64):  # (ref null ht), (ref ht)
            self.number()


def sort_of(section: Reader) -> tuple[int, int]:
    sort = section.byte()
    return sort, section.byte() if sort == CORE else 0


def extern_name(section: Reader) -> str:
    """The name of an import or export."""
    if section.byte() > 1:
        raise Unreadable
    return section.take(section.number()).decode(errors="replace")


def described(section: Reader) -> tuple[int, int]:
    """Passes over what an import or export is said to be; its sort."""
    sort = sort_of(section)
    if sort[0] in (_VALUE, _TYPE) and section.byte() == 1:
        if sort[0] == _VALUE:
            section.number()
    else:
        section.number()
    return sort


def _count(section: Reader) -> int:
    """How many entries a section says that it has."""
    begin = section.at
    count = section.number()
    section.at = begin
    return count


@dataclass(slots=True)
class ComponentNames:
    """What a component imports and exports, by name."""

    imports: list[str] = field(default_factory=list[str])
    exports: list[str] = field(default_factory=list[str])


def component_names(content: bytes) -> ComponentNames:
    """The names of what the component `content` imports and exports itself.

    Raises:
        Unreadable: it is not a component, or one of more parts than any compiler makes.
    """
    if not content.startswith(COMPONENT_MAGIC):
        raise Unreadable
    found, reader = ComponentNames(), Reader(content, len(COMPONENT_MAGIC), len(content))
    parts = 0
    while reader.more():
        kind, section = reader.section()
        parts += 1 + (_count(section) if kind in (10, 11) else 0)
        if parts > MOST_PARTS:
            raise Unreadable
        if kind == 10:
            for _ in range(section.number()):
                found.imports.append(extern_name(section))
                described(section)
        elif kind == 11:
            for _ in range(section.number()):
                found.exports.append(extern_name(section))
                sort_of(section)
                section.number()
                if section.byte():
                    described(section)
    return found
