"""What strangers can take of a server: `python -m benchmarks.edge`.

Huge headers, slow connections and uploads by somebody who may not upload, while `/health` is asked all the time. Clients are
plain sockets in this process; the server's memory, CPU time and descriptors are read from outside.
"""

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import Server, server

MEGABYTE = 1 << 20

SLOW = 1_000
UPLOADS = 200
UPLOAD_BYTES = 128 * MEGABYTE


@dataclass
class Watched:
    """What was seen of the server while something was done to it."""

    health: list[float] = field(default_factory=list)
    """Milliseconds that `/health` took."""
    failures: int = 0
    """Times that it did not answer."""
    memory: float = 0.0
    """Megabytes more at the most than at the beginning."""
    cpu: float = 0.0
    """Seconds of the server's CPU time."""
    descriptors: int = 0


@contextmanager
def watched(running: Server) -> Iterator[Watched]:
    """Asks `/health` all the time, from a process that does nothing else, and looks at the server's."""
    process = psutil.Process(running.pid)
    found, stop = Watched(), threading.Event()
    resident, cpu = process.memory_info().rss, process.cpu_times()
    prober = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.edge", "--probe", running.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def look() -> None:
        while not stop.wait(0.02):
            found.memory = max(found.memory, (process.memory_info().rss - resident) / MEGABYTE)
            found.descriptors = max(found.descriptors, process.num_fds())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        lines = prober.communicate()[0].split()  # it ends with its input
        found.health = [float(line) for line in lines if line != "failed"]
        found.failures = lines.count("failed")
        after = process.cpu_times()
        found.cpu = after.user + after.system - cpu.user - cpu.system


def probe(url: str) -> None:
    """Prints how many milliseconds `/health` takes, again and again until the input ends.

    On one connection as long as it lasts: a flood on loopback makes the kernel lose now and then the first packet of a new one,
    which is sent again after a second, whatever the server does.
    """
    address = urlsplit(url)
    connection: socket.socket | None = None
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        began = time.perf_counter()
        try:
            if connection is None:
                connection = socket.create_connection((address.hostname, address.port), timeout=30)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            said = b""
            while not said.endswith(b"}") and (piece := connection.recv(65536)):
                said += piece
        except OSError:
            said = b""
        good = said.startswith(b"HTTP/1.1 200")
        if not good:
            connection = None
        print(f"{(time.perf_counter() - began) * 1000:.3f}" if good else "failed", flush=True)


def step_back() -> None:
    """Lets the server and the probe go first: hundreds of clients would be on other machines."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def told(connection: socket.socket) -> str:
    """What the server says on a connection before it closes: the code of the problem, or why there is none."""
    connection.settimeout(40)
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except TimeoutError:
        return "nothing for 40 s"
    except OSError:
        pass
    head, _, body = said.partition(b"\r\n\r\n")
    if not head:
        return "closed without a word"
    try:
        return str(json.loads(body).get("code") or head.split(b" ")[1].decode())
    except ValueError:
        return head.split(b" ")[1].decode()


def connect(running: Server) -> socket.socket:
    """A connection to the server."""
    address = urlsplit(running.url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def huge_header(running: Server, size: int) -> str:
    """Sends one header of `size` bytes; what the server says to it."""
    with connect(running) as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: ")
            piece = b"a" * MEGABYTE
            for _ in range(size // len(piece)):
                connection.sendall(piece)
        except OSError:
            pass
        return told(connection)


def slow(running: Server, connections: int) -> Counter[str]:
    """Opens connections that send a little and then nothing; what the server says to each."""
    held: list[socket.socket] = []
    for number in range(connections):
        connection = connect(running)
        connection.sendall(
            (b"", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A")[number % 3]
        )
        held.append(connection)
    found = Counter(told(connection) for connection in held)
    for connection in held:
        connection.close()
    return found


def upload(running: Server, key: str, digest: str, size: int) -> str:
    """Uploads zeros under an address; what the server says."""
    with connect(running) as connection:
        head = (
            f"PUT /v1/blobs/{digest} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        )
        piece = bytes(256 << 10)
        try:
            connection.sendall(head.encode())
            for _ in range(size // len(piece)):
                connection.sendall(piece)
        except OSError:
            pass
        return told(connection)


def uploads(running: Server, key: str, size: int) -> Counter[str]:
    """Many uploads at once."""
    digest = hashlib.sha256(bytes(size)).hexdigest()
    with ThreadPoolExecutor(UPLOADS, initializer=step_back) as pool:
        return Counter(pool.map(lambda _: upload(running, key, digest, size), range(UPLOADS)))


def for_a_while(action: Callable[[], Counter[str]], seconds: float = 5.0) -> Counter[str]:
    """Does it again until `seconds` are over: what is refused at once is over before anything can be seen."""
    found: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found += action()
    return found


def huge_headers(running: Server) -> Counter[str]:
    """One header of 100 MB, and then 20 of 20 MB at once."""
    found = Counter([huge_header(running, 100 * MEGABYTE)])
    with ThreadPoolExecutor(20, initializer=step_back) as pool:
        return found + Counter(pool.map(lambda _: huge_header(running, 20 * MEGABYTE), range(20)))


def _figures(name: str, seen: Watched, answers: Counter[str], expected: set[str]) -> list[Figure]:
    health = sorted(seen.health) or [float("inf")]
    unexpected = sum(count for code, count in answers.items() if code not in expected)
    print(f"  {name}: {dict(answers)}", flush=True)
    return [
        Figure(f"{name}: not refused in words", unexpected, "", 0),
        Figure(f"{name}: /health, p99", health[int(len(health) * 0.99)], "ms", 100),
        Figure(f"{name}: /health, p50", health[len(health) // 2], "ms"),
        Figure(f"{name}: /health did not answer", seen.failures, "", 0),
        Figure(f"{name}: more memory", seen.memory, "MB", 50),
        Figure(f"{name}: CPU time", seen.cpu, "s"),
    ]


def figures() -> list[Figure]:
    """All of it, on one server."""
    found: list[Figure] = []
    with server() as running, running.client() as client:
        time.sleep(3)  # helpers start behind the server
        viewer = client.post("/v1/keys", json={"name": "bench-viewer", "role": "viewer"}).json()["key"]
        for _ in range(50):
            client.get("/v1/agents").raise_for_status()
        with watched(running) as seen:
            time.sleep(5)
        found.append(Figure("nothing: /health, p99", sorted(seen.health)[int(len(seen.health) * 0.99)], "ms"))
        with watched(running) as seen:
            answers = for_a_while(lambda: huge_headers(running))
        found += _figures("headers of 100 MB, and 20 × 20 MB", seen, answers, {"headers_too_large"})
        for count in (SLOW, 2 * SLOW):
            with watched(running) as seen:
                answers = slow(running, count)
            name = f"{count:,} slow connections"
            found += _figures(name, seen, answers, {"request_too_slow", "too_many_connections"})
            found.append(Figure(f"{name}: descriptors", seen.descriptors, ""))
        with watched(running) as seen:
            answers = for_a_while(lambda: uploads(running, viewer, UPLOAD_BYTES))
        found += _figures(f"{UPLOADS} uploads of a viewer", seen, answers, {"not_permitted", "overloaded"})
        with watched(running) as seen:
            answers = for_a_while(lambda: uploads(running, running.key, 8 * MEGABYTE))
        found += _figures(f"{UPLOADS} uploads of a developer", seen, answers, {"204", "overloaded"})
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        probe(sys.argv[2])
        sys.exit()
    print_machine()
    print_figures("what strangers can take", figures())
