"""Memory as it is configured: a back end that is found through its entry point, and an embedder."""

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from caxton.adapters.memory.minilm import MiniLM
from caxton.adapters.memory.openai_embedder import OpenAIEmbedder
from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import Hint, InvalidSettings, NotInstalled, SecretMissing
from caxton.domain.extras import install_command, lacks, not_installed
from caxton.domain.memory_port import ENTRY_POINTS, Embedder, MemoryBackend, MemoryConfig, MemoryFactory
from caxton.domain.secrets import one_reference
from caxton.runtime.settings_sections import EmbedderSettings, MemorySection

_EXTRAS = {"lancedb": "memory", "qdrant": "qdrant"}
"""The extra that a back end of ours needs."""

_EMBEDDER = ("numpy", "onnxruntime", "tokenizers", "caxton_minilm")
"""What the bundled embedder needs."""


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
        hints = [Hint(text="install what it needs", command=install_command(_EXTRAS[name]))] if name in _EXTRAS else []
        raise InvalidSettings(f'memory.backend: "{name}" cannot be loaded: {error}', *hints) from error


def memory_lacks(settings: MemorySection) -> NotInstalled | None:
    """What keeps the configured memory from working, if it is that a part of Caxton is not installed."""
    wanted = [_EXTRAS[settings.backend]] if settings.backend in _EXTRAS else []
    if settings.embedder.kind == "bundled" and "memory" not in wanted and not all(map(find_spec, _EMBEDDER)):
        wanted.append("memory")
    for extra in wanted:
        if missing := lacks(extra):
            return not_installed(extra, missing)
    return None


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
    reference = one_reference(settings.api_key, settings.api_key_env)
    if reference is None and settings.base_url is None:
        reference = "env:OPENAI_API_KEY"
    try:
        key = SECRETS.get(reference) if reference else None
    except SecretMissing as error:
        raise InvalidSettings(f"memory.embedder: {error.message}", *error.hints) from None
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
