"""WebAssembly agents to begin with: source of one, in several languages."""

from pathlib import Path

from caxton.definitions.agent_modules import MODULE_SUFFIX
from caxton.definitions.new_workspace import add_workspace_files
from caxton.definitions.starters import check_language
from caxton.definitions.suggestions import check_name
from caxton.definitions.toml_edit import replace_values
from caxton.definitions.toml_source import read_toml
from caxton.definitions.written_files import WrittenFiles
from caxton.domain.errors import InvalidState
from caxton.domain.problems import Problem

_BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
_STARTERS = _BUNDLED / "agent_starters"
_AGENT = "agent.toml"
_WIT = "agent.wit"


def agent_languages() -> list[str]:
    """Languages that :func:`begin_agent` has sources for."""
    return sorted(path.parent.name for path in _STARTERS.glob("*/README.md"))


def agent_interface() -> str:
    """The world of agents that are components, in WIT: https://component-model.bytecodealliance.org/design/wit.html."""
    return (_BUNDLED / "wit" / _WIT).read_text(encoding="utf-8")


def begin_agent(name: str, language: str, folder: Path) -> list[Path]:
    """Makes `agents/NAME.toml` in the workspace `folder`, and beside it `agents/NAME/`: source, interface, and how to build it.

    Returns:
        The files that were written, as paths below `folder`.

    Raises:
        InvalidInput: the name is not valid, or there is nothing in that language.
        InvalidState: the workspace has an agent of that name, or a file cannot be written.
    """
    check_name(name, "an agent")
    check_language(language, agent_languages(), "caxton agent wit")
    writing = WrittenFiles(folder)
    for path in (f"agents/{name}.toml", f"agents/{name}"):
        if writing.exists(path):
            raise InvalidState(f"{path} exists already", "choose another name, or remove it")
    writing.add(f"agents/{name}.toml", _definition(name))
    for source in sorted((_STARTERS / language).iterdir()):
        if source.is_file() and source.suffix != MODULE_SUFFIX:
            content = source.read_bytes()
            if source.name == "README.md":
                content = content.replace(b"NAME.wasm", f"{name}{MODULE_SUFFIX}".encode())
                content = content.replace(b"; NAME is the name of the agent", b"")
            writing.add(f"agents/{name}/{source.name}", content)
    writing.add(f"agents/{name}/{_WIT}", agent_interface().encode())
    add_workspace_files(writing, folder)
    return writing.write()


def _definition(name: str) -> bytes:
    source = read_toml(_AGENT, (_STARTERS / _AGENT).read_text(encoding="utf-8"))
    assert not isinstance(source, Problem)  # our own file: a test reads it
    return replace_values(source, {("name",): name, ("wasm", "module"): f"{name}{MODULE_SUFFIX}"}).encode()
