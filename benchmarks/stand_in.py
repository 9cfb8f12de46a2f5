"""The stand-in model service of benchmarks, in a process of its own: the same one for Caxton and for its peers.

A message with `id=…`, which the peers' driver sends, is answered with that id and with how many earlier messages came, so that
the driver can check each reply; any other with "word0 word1 …".
"""

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.stand_in import Answer, StandIn

REPLY_BYTES = 200
"""Size of an answer to the peers' driver."""


class Checkable(StandIn):
    """Answers so that whoever asked can check it, and remembers no requests."""

    def __init__(self, default: Answer) -> None:
        """Answer as `default` says, but for the text."""
        super().__init__(default)
        self.remembers = False

    def next_answer(self, request: dict[str, Any]) -> Answer:
        """The id of the last message, and the number of those before it."""
        messages = [each for each in request["messages"] if each["role"] != "system"]
        asked = re.search(r"id=(\w+)", str(messages[-1]["content"]))
        if asked is None:
            return super().next_answer(request)
        text = f"reply id={asked[1]} h={len(messages) - 1} ".ljust(REPLY_BYTES, "-")
        return dataclasses.replace(self.default, text=text)


class Cursory(StandIn):
    """Looks only for the model's name: to read requests of many megabytes would cost more than to send them."""

    def __init__(self, default: Answer) -> None:
        """Answer with `default` where nothing else is said."""
        super().__init__(default)
        self.remembers = False

    def read(self, body: bytearray) -> dict[str, Any]:
        """The model, and nothing else."""
        model = re.search(rb'"model": ?"([^"]+)"', body)
        return {"model": model[1].decode() if model else ""}


@contextmanager
def stand_in(latency: float, chunks: int, *, reads: bool = True) -> Generator[str]:
    """The address of a model service in a process of its own.

    Args:
        latency: seconds that an answer takes, whole or streamed.
        chunks: pieces of a streamed answer.
        reads: whether it reads what it is asked, or looks only for the model's name.
    """
    port = free_port()
    arguments = [str(port), str(latency), str(chunks), *(() if reads else ("cursory",))]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stand_in", *arguments])
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{url}/stats", timeout=1, trust_env=False)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Serves until it is told to stop."""
    import uvicorn

    port, latency, chunks = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    kind = Cursory if "cursory" in sys.argv else Checkable
    uvicorn.run(
        kind(Answer(chunks=chunks, took=latency)),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        access_log=False,
        backlog=4096,
        timeout_keep_alive=120,
    )


if __name__ == "__main__":
    main()
