"""An embedder behind an OpenAI-compatible address: https://platform.openai.com/docs/api-reference/embeddings"""

import math
import os
import threading
import weakref
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pydantic import SecretStr

from caxton.domain.errors import InvalidSettings, MemoryUnavailable
from caxton.domain.surroundings import client_options

OPENAI = "https://api.openai.com/v1"

BATCH = 128
"""Texts a request."""

CHARACTERS = 20_000
"""Of a text that are embedded: services refuse more than 8,192 tokens. What is longer is found by its words."""

TIMEOUT = 30.0
"""Seconds for one request."""


class OpenAIEmbedder:
    """The Embedder port. The client is loaded with the first text."""

    def __init__(self, model: str, dimensions: int, *, base_url: str | None, key: SecretStr | None) -> None:
        """Use a model whose vectors have so many dimensions, at `base_url` (None: OpenAI's own)."""
        self.id = f"{model}:{dimensions}"
        self.dimensions = dimensions
        self._model = model
        self._base_url = base_url
        self._key = key
        self._lock = threading.Lock()
        self._client: Any = None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A unit vector for each text, in their order.

        Raises:
            MemoryUnavailable: the service does not answer, refuses, or its vectors are of another length.
        """
        openai: Any = import_module("openai")
        vectors: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            part = [text[:CHARACTERS] or " " for text in texts[start : start + BATCH]]
            try:
                answer = self._connected(openai).embeddings.create(
                    model=self._model, input=part, encoding_format="float"
                )
                found = [
                    [float(value) for value in each.embedding]
                    for each in sorted(answer.data, key=lambda each: each.index)
                ]
            except InvalidSettings as error:
                raise MemoryUnavailable(error.message, *error.hints) from None
            except Exception as error:  # what a service can answer with, the client turns into any of Python's errors
                status = getattr(error, "status_code", None)
                # Its message may quote the text.
                reason = type(error).__name__ + (f" {status}" if status else "")
                raise MemoryUnavailable("the embedder does not answer as it should", reason=reason) from error
            if not all(math.isfinite(value) for vector in found for value in vector):
                raise MemoryUnavailable("the embedder's vectors have numbers that are not finite")
            if len(found) != len(part) or any(len(vector) != self.dimensions for vector in found):
                lengths = sorted({len(vector) for vector in found})
                raise MemoryUnavailable(
                    f"the embedder's vectors have {lengths} dimensions, the settings say {self.dimensions}",
                    "correct dimensions in [memory.embedder]",
                )
            vectors += [_unit(vector) for vector in found]
        return vectors

    def _connected(self, openai: Any) -> Any:
        with self._lock:
            if self._client is None:
                key = self._key.get_secret_value() if self._key else "none"
                base_url = self._base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
                http = openai.DefaultHttpxClient(**client_options(base_url))
                weakref.finalize(self, http.close)
                self._client = openai.OpenAI(
                    api_key=key,
                    base_url=self._base_url,
                    timeout=TIMEOUT,
                    max_retries=2,
                    http_client=http,
                )
            return self._client


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
