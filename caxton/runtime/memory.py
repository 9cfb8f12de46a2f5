"""Memory as it is configured: a back end that is found through its entry point, and an embedder."""

import os
from importlib.metadata import entry_points
from pathlib import Path

from caxton.adapters.memory.minilm import MiniLM
from caxton.adapters.memory.openai_embedder import OpenAIEmbedder
from caxton.domain.errors import Hint, InvalidSettings
from caxton.domain.memory_port import ENTRY_POINTS, Embedder, MemoryBackend, MemoryConfig, MemoryFactory
from caxton.runtime.settings_sections import EmbedderSettings, MemorySection


def build_backend(settings: MemorySection, folder: Path, embedder: Embedder) -> MemoryBackend:
    """The configured back end.

    Raises:
        InvalidSettings: it is not installed, or cannot use its options.
        MemoryUnavailable: it does not answer.
    """
    name = settings.backend
    try:  # a factory may load what it needs only when it is called
        return _factory(name)(MemoryConfig(folder, embedder.id, embedder.dimensions, settings.options))
    except ImportError as error:
        raise InvalidSettings(
            f'memory.backend: "{name}" cannot be loaded: {error}',
            Hint(text="install what it needs", command=f"pip install 'caxton[{name}]'"),
        ) from error


def build_embedder(settings: EmbedderSettings) -> Embedder:
    """The configured embedder.

    Raises:
        InvalidSettings: something that it needs is missing.
    """
    if settings.kind == "bundled":
        return MiniLM()
    if settings.model is None or settings.dimensions is None:
        raise InvalidSettings(
            'memory.embedder: kind = "openai" needs a model and the dimensions of its vectors',
            Hint(text='for example: model = "text-embedding-3-small", dimensions = 1536'),
        )
    variable = settings.api_key_env or ("" if settings.base_url else "OPENAI_API_KEY")
    key = os.environ.get(variable) if variable else None
    if variable and not key:
        raise InvalidSettings(
            f"memory.embedder: the environment variable {variable} is not set",
            Hint(text="set it to the key of the service", command=f"export {variable}=…"),
        )
    return OpenAIEmbedder(settings.model, settings.dimensions, base_url=settings.base_url, key=key)


def _factory(name: str) -> MemoryFactory:
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        known = ", ".join(sorted(found))
        raise InvalidSettings(
            f'memory.backend: there is no back end "{name}"',
            Hint(text=f"installed are: {known}. Others come as packages with an entry point in {ENTRY_POINTS}"),
        )
    return found[name].load()
