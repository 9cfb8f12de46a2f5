"""Writing files that tools made. Their names come from outside and are not trusted.

They are written where the user works, in a folder in which programs look for files by name: settings (`caxton.toml`),
things to run (`Makefile`, `conftest.py`), lists of what to install. So only names that end as data does are kept as they are.
"""

import re
import unicodedata
from itertools import count
from pathlib import Path

from caxton.cli.output import complain, has_colour, prose, say_link

_LONGEST = 120
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
_DATA_ENDS = """
    svg png jpg jpeg gif webp avif bmp tif tiff ico eps
    csv tsv json jsonl ndjson geojson xml parquet arrow feather npy npz avro sqlite
    txt text log md rst html htm pdf rtf epub ics vcf xls xlsx ods doc docx odt ppt pptx odp
    zip gz bz2 xz zst tar tgz 7z mp3 ogg opus wav flac m4a mp4 webm mov
    srt vtt woff2 ttf otf glb gltf stl bin dat
"""
_READ_NAMES = """
    agents angular babel bower build claude cmakelists composer constraints copilot-instructions deno firebase gemini jsconfig
    lerna mcp nx package package-lock pom project readme renovate requirements requirements-dev tsconfig turbo vercel
"""
_DATA = frozenset(_DATA_ENDS.split())
"""Ends of names of data: no program runs such a file or takes settings from it, but for those in `_READ`."""
_READ = frozenset(_READ_NAMES.split())
"""Names that programs and assistants look for where they are started, although they end as text does."""


def safe_name(name: str) -> str:
    """A file name, and nothing but a file name, that resembles `name` and that no program looks for."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(c if unicodedata.category(c)[0] in "LMNP" and c not in '<>:"|?*' else "-" for c in name)
    name = re.sub(r"-{2,}", "-", name).strip(". -")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    if suffix.lower() not in _DATA:
        stem, suffix = f"{stem}.{suffix}" if suffix else stem, "bin"
    first = stem.lower().partition(".")[0]
    if not stem or first in _RESERVED or stem.lower() in _READ:
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


def tell_file(path: Path, *, on_stdout: bool = True) -> None:
    """Says where a file of a reply is; a terminal that knows links opens it on a click.

    Args:
        path: the file.
        on_stdout: False where stdout is for the reply alone.
    """
    kind = "chart" if path.suffix == ".svg" else "file"
    if not on_stdout:
        complain(f"{kind}: {shown(path)}")
    elif has_colour():
        say_link(f"{kind}: ", shown(path), path.resolve().as_uri())
    else:
        prose(f"{kind}: {shown(path)}")


def _cut(stem: str, suffix: str) -> str:
    ending = f".{suffix[:20]}" if suffix else ""
    while len((stem + ending).encode()) > _LONGEST:
        stem = stem[:-1].rstrip(". -")
    return stem + ending
