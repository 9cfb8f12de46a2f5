"""Tables that fit the terminal: cells break between words, and nothing is cut."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from caxton.cli.output import broken_at_words, columns, is_terminal, style, width, words_of

_PROSE = 20
"""Columns that are left of the widest column before others are broken, too."""
_LINES = 3
"""Lines that a row of a table with headers may take on average; where rows take more, they become paragraphs."""
_GAP = "  "


def table(rows: Iterable[Sequence[str]], headers: Sequence[str] = (), *, indent: str = "") -> list[str]:
    """The lines of a table.

    Columns without content are left out. On a terminal that is too narrow, cells are broken between words; where that is
    not enough, each row becomes a paragraph: its first cells, then the others with their headers. In a pipe each row is
    one line, and there are no headers.

    Args:
        rows: cells, perhaps in colours; as many in each row.
        headers: names of the columns. A column whose name begins with "what" has none in paragraphs.
        indent: what each line begins with.
    """
    cells = [list(row) for row in rows]
    kept = [number for number, column in enumerate(zip(*cells, strict=True)) if any(column)]
    cells = [[row[number] for number in kept] for row in cells]
    names = [headers[number] for number in kept] if headers and is_terminal() else []
    if not kept:
        return [""] * len(cells)
    shown = [[style(name, "dim") for name in names], *cells] if names else cells
    available = columns() - width(indent)
    widths = [max(width(cell) for cell in column) for column in zip(*shown, strict=True)]
    least = [_widest_word(column) for column in zip(*shown, strict=True)]
    widths = _without_prose(widths, least, available)
    lines = [line for row in shown for line in _lines_of(row, widths)]
    if names and len(names) > 2 and (_total(widths) > available or len(lines) > _LINES * len(shown)):
        lines = _paragraphs(cells, names, available)
    elif _total(widths) > available:
        widths = _narrowest(widths, least, available)
        lines = [line for row in shown for line in _lines_of(row, widths)]
    return [(indent + line).rstrip() for line in lines]


def _widest_word(column: Sequence[str]) -> int:
    return max(width(word) for cell in column for word in words_of(cell))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _without_prose(natural: Sequence[int], least: Sequence[int], available: int) -> list[int]:
    """Widths of columns, of which the widest gives way, as it is prose most of the time. The first one names things."""
    widths = list(natural)
    if len(widths) < 2:
        return widths
    prose = max(range(1, len(widths)), key=lambda column: (widths[column], column))
    floor = max(least[prose], min(widths[prose], _PROSE))
    widths[prose] = max(floor, min(widths[prose], widths[prose] - (_total(widths) - available)))
    return widths


def _narrowest(widths: Sequence[int], least: Sequence[int], available: int) -> list[int]:
    """Widths of columns, all of which give way down to `least`, the widest of them first; but not the first one."""
    widths = list(widths)
    while (over := _total(widths) - available) > 0:
        column = max(range(1, len(widths)), key=lambda each: (widths[each] > least[each], widths[each]), default=0)
        if column == 0 or widths[column] <= least[column]:
            break
        second = max((wide for each, wide in enumerate(widths) if each not in (0, column)), default=0)
        widths[column] -= min(widths[column] - least[column], over, max(1, widths[column] - second))
    return widths


def _lines_of(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """`row` in as many lines as its longest cell needs."""
    broken = [broken_at_words(cell, space) if cell else [""] for cell, space in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in broken)
    padded = [cell + [""] * (height - len(cell)) for cell in broken]
    return [
        _GAP.join(part + " " * (space - width(part)) for part, space in zip(parts, widths, strict=True))
        for parts in zip(*padded, strict=True)
    ]


def _paragraphs(cells: Sequence[Sequence[str]], names: Sequence[str], available: int) -> list[str]:
    """Each row as a line of its first cells, aligned, and indented lines with the others."""
    widths = [
        max(width(name), *map(width, column)) for name, column in zip(names, zip(*cells, strict=True), strict=True)
    ]
    reach = [total + len(_GAP) * number for number, total in enumerate(accumulate(widths))]
    first = max(1, sum(1 for end in reach if end <= available))
    lines = _lines_of([style(name, "dim") for name in names[:first]], widths[:first])
    for row in cells:
        lines += _lines_of(row[:first], widths[:first])
        rest = [
            cell if not name or name.startswith("what") else f"{style(name, 'dim')} {cell}"
            for name, cell in zip(names[first:], row[first:], strict=True)
            if cell
        ]
        lines += [_GAP + line for line in packed(rest, available - len(_GAP))]
    return lines


def packed(items: Sequence[str], available: int) -> list[str]:
    """`items`, separated by dots, in lines of at most `available` columns; one that is longer is broken between words."""
    lines: list[str] = []
    for item in items:
        if lines and width(lines[-1]) + 3 + width(item) <= available:
            lines[-1] = f"{lines[-1]} · {item}"
        else:
            lines += broken_at_words(item, available)
    return lines
