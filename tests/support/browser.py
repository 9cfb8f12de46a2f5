"""A real Chromium without a screen, driven over its DevTools protocol."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

MISSING = "no Chromium: `apt-get install chromium` (or Google Chrome) for the tests with a browser"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    # Names that an attacker has pointed at this machine, and nothing else of the world.
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._call("Page.enable")

    def visit(self, url: str) -> None:
        """Goes to `url` as if somebody had typed it."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What a script in the page comes to; promises are waited for."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str, *, within: float = 40) -> Any:
        """What a script comes to as soon as that is something."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = self.run(
                f"(() => {{ try {{ const found = {script}; return found instanceof Node ? true : found }}"
                " catch (error) { return null } })()"
            )
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{script}: {self.run('document.documentElement.outerHTML')[:2000]}")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])


@contextmanager
def browser_page(profile: Path) -> Iterator[Page]:
    """A tab of a new browser; skips the test where there is none."""
    program = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if program is None:
        pytest.skip(MISSING)
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile / "DevToolsActivePort", process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            tabs = client.get("/json").json()
        place = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(place, max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the browser ended"
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError("the browser did not start")
