"""The embedder that comes with Caxton: all-MiniLM-L6-v2 with int8 weights, through onnxruntime, offline.

A text's vector does not depend on its batch. Text past 256 tokens is ignored (the model's limit).
"""

import ctypes
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

MODEL = "all-MiniLM-L6-v2-int8.onnx"
DIMENSIONS = 384
BATCH = 32

IDLE = 300.0
"""Seconds without a text after which the model is given up: it holds 60 MB, and is loaded again within half a second."""

M_MMAP_THRESHOLD = -3
"""malloc.h"""


class MiniLM:
    """The Embedder port. Nothing is loaded before the first text; loading takes about half a second and 130 MB."""

    id = "minilm-l6-v2-int8-1"
    """Stored with every memory: vectors of different embedders cannot be compared."""
    dimensions = DIMENSIONS

    def __init__(self, threads: int = 2) -> None:
        """Use so many threads for one text: two take three quarters of the time of one."""
        self.threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._used = 0.0

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A unit vector for each text, in their order. Blocks: 3 to 5 ms for a short text."""
        import numpy

        session, tokenizer = self._load()
        self._used = time.monotonic()
        vectors: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            encoded = tokenizer.encode_batch([text or " " for text in texts[start : start + BATCH]])
            inputs = {
                "input_ids": numpy.array([each.ids for each in encoded], dtype=numpy.int64),
                "attention_mask": numpy.array([each.attention_mask for each in encoded], dtype=numpy.int64),
                "token_type_ids": numpy.array([each.type_ids for each in encoded], dtype=numpy.int64),
            }
            [found] = session.run(["sentence_embedding"], inputs)
            vectors += found.tolist()
        return vectors

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                folder = Path(str(import_module("caxton_minilm").__file__)).parent
                onnxruntime: Any = import_module("onnxruntime")
                tokenizers: Any = import_module("tokenizers")
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.threads
                options.inter_op_num_threads = 1
                # Threads that wait for work by spinning would take the processor from everything else.
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                options.enable_cpu_mem_arena = False  # it keeps 200 MB after long texts, and is no faster
                session = onnxruntime.InferenceSession(
                    str(folder / MODEL), sess_options=options, providers=["CPUExecutionProvider"]
                )
                self._loaded = session, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
                _give_back_memory()
                self._used = time.monotonic()
                self._watch()
            return self._loaded

    def _watch(self) -> None:
        timer = threading.Timer(IDLE / 5, self._give_up_when_idle)
        timer.daemon = True
        timer.start()

    def _give_up_when_idle(self) -> None:
        with self._lock:
            if time.monotonic() - self._used < IDLE:
                self._watch()
                return
            self._loaded = None
        _give_back_memory()


def _give_back_memory() -> None:
    """Loading needs 100 MB for a moment, which glibc would keep; and so would it with what indices need for a moment later.

    Its threshold from which memory goes back at once grows by itself, unless it is set (mallopt(3)).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # musl has none, and keeps nothing
            libc.mallopt(M_MMAP_THRESHOLD, 128 << 10)
            libc.malloc_trim(0)
