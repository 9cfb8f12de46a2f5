"""Tools to begin with: those that are included, and folders with source for one of one's own."""

from collections.abc import Sequence
from pathlib import Path

from caxton.definitions.suggestions import check_name, closest, listed
from caxton.definitions.toml_edit import replace_values
from caxton.definitions.toml_source import read_toml
from caxton.definitions.tools import MANIFEST
from caxton.definitions.written_files import WrittenFiles
from caxton.domain.errors import Hint, InvalidInput, InvalidState, NotFound
from caxton.domain.ids import is_name
from caxton.domain.memory_functions import INSTEAD
from caxton.domain.memory_functions import SERVER as MEMORY
from caxton.domain.problems import Problem

_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_WIT = "tool.wit"


def included_tools() -> list[str]:
    """Names of the tools that come with Caxton."""
    return sorted(path.parent.name for path in (_BUNDLED / "tools").glob(f"*/{MANIFEST}"))


def languages() -> list[str]:
    """Languages that :func:`begin_tool` has a folder for."""
    return sorted(path.parent.name for path in (_BUNDLED / "starters").glob(f"*/{MANIFEST}"))


def interface() -> str:
    """The world of components, in WIT: https://component-model.bytecodealliance.org/design/wit.html."""
    return (_BUNDLED / "wit" / _WIT).read_text(encoding="utf-8")


def add_tool(name: str, folder: Path) -> list[Path]:
    """Copies an included tool into the workspace `folder`.

    Returns:
        The files that were written, as paths below `folder`.

    Raises:
        NotFound: no such tool is included.
        InvalidState: the workspace has a tool of that name, or a file cannot be written.
    """
    known = included_tools()
    if name not in known:
        guess = closest(name, known)
        hint = f'did you mean "{guess}"?' if guess else f"there are {listed(known)}"
        write = Hint(text="or write one", command=f"caxton tool init {name} --language javascript")
        raise NotFound(f'no tool "{name}" comes with Caxton', Hint(text=hint), *([write] if is_name(name) else []))
    writing = WrittenFiles(folder)
    _refuse_existing(writing, name)
    for path in _files(_BUNDLED / "tools" / name):
        writing.add(f"tools/{name}/{path.as_posix()}", (_BUNDLED / "tools" / name / path).read_bytes())
    return writing.write()


def begin_tool(name: str, language: str, folder: Path) -> list[Path]:
    """Makes `tools/NAME` in the workspace `folder`: source, manifest, the interface, and how to build it.

    Returns:
        The files that were written, as paths below `folder`.

    Raises:
        InvalidInput: the name is not valid, or there is nothing in that language.
        InvalidState: the workspace has a tool of that name, or a file cannot be written.
    """
    check_name(name, "a tool")
    if name == MEMORY:
        raise InvalidInput(f'"{MEMORY}" is a built-in tool', f'give yours another name, such as "{INSTEAD}"')
    check_language(language, languages(), "caxton tool wit")
    source = _BUNDLED / "starters" / language
    writing = WrittenFiles(folder)
    _refuse_existing(writing, name)
    for path in _files(source):
        content = (source / path).read_bytes()
        if path.name == MANIFEST:
            content = _named(path.name, content.decode(), name)
        writing.add(f"tools/{name}/{path.as_posix()}", content)
    writing.add(f"tools/{name}/{_WIT}", interface().encode())
    return writing.write()


def check_language(language: str, known: Sequence[str], wit: str) -> None:
    """Checks that there is something to begin with in `language`; `wit` is the command that prints the interface.

    Raises:
        InvalidInput: there is not.
    """
    if language not in known:
        guess = closest(language, known)
        other = f"; other languages: build a component of the world that `{wit}` prints"
        raise InvalidInput(
            f'there is nothing to begin with in "{language}"',
            f'did you mean "{guess}"?' if guess else f"there are {listed(known)}{other}",
        )


def _named(file: str, text: str, name: str) -> bytes:
    manifest = read_toml(file, text)
    assert not isinstance(manifest, Problem)  # our own file: a test reads all of them
    return replace_values(manifest, {("name",): name}).encode()


def _refuse_existing(writing: WrittenFiles, name: str) -> None:
    if writing.exists(f"tools/{name}"):
        raise InvalidState(f"tools/{name} exists already", "choose another name, or remove the folder")


def _files(folder: Path) -> list[Path]:
    """What is copied: no module that was built for tests, nothing that a build left behind."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    built = folder.parent.name == "starters"
    return sorted(path for path in found if not (built and path.suffix == ".wasm") and "__pycache__" not in path.parts)
