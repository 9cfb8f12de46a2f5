"""Writing files that tools made. Their names come from outside and are not trusted."""

import re
import unicodedata
from itertools import count
from pathlib import Path

_LONGEST = 120
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


def safe_name(name: str) -> str:
    """A file name, and nothing but a file name, that resembles `name`."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(c if unicodedata.category(c)[0] in "LMNP" and c not in '<>:"|?*' else "-" for c in name)
    name = re.sub(r"-{2,}", "-", name).strip(". -")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    if not stem or stem.lower() in _RESERVED:
        stem = f"artifact-{stem}".rstrip("-")
    return _cut(stem, suffix)


def write(folder: Path, name: str, content: bytes, *, force: bool = False) -> Path:
    """Writes `content` as a file in `folder` and returns its path.

    A file that is there with the same content is left alone; one with other content stays, and the new one gets a number,
    unless `force` says to replace it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    safe = safe_name(name)
    stem, dot, suffix = safe.rpartition(".")
    if not dot:
        stem, suffix = safe, ""
    for number in count(1):
        target = folder / (safe if number == 1 else _cut(f"{stem}-{number}", suffix))
        if force and not target.is_symlink() and (target.is_file() or not target.exists()):
            target.write_bytes(content)
            return target
        try:
            with target.open("xb") as file:
                file.write(content)
            return target
        except FileExistsError:
            if target.is_file() and target.read_bytes() == content:
                return target
    raise AssertionError("there is no end to numbers")


def shown(path: Path) -> str:
    """`path` as a person would type it from here."""
    try:
        return f"./{path.resolve().relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


def _cut(stem: str, suffix: str) -> str:
    ending = f".{suffix[:20]}" if suffix else ""
    while len((stem + ending).encode()) > _LONGEST:
        stem = stem[:-1].rstrip(". -")
    return stem + ending
