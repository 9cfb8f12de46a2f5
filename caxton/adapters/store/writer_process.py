"""The writing process (:mod:`caxton.adapters.store.writer`) as its server sees it."""

import asyncio
import marshal
import socket
import subprocess
import sys

from caxton.adapters.children import end_child, start_child
from caxton.adapters.store.writer import DONE, LENGTH, Job


class WriterProcess:
    """Starts it, hands it transactions, and starts it again when it is gone.

    The event loop itself talks to it: a thread that waits for an answer would have to wait for the interpreter's lock, too.
    """

    def __init__(self, path: str, synchronous: str, lock_timeout: float) -> None:
        """For the SQLite database in `path`."""
        self._command = [sys.executable, "-m", "caxton.adapters.store.writer", path, synchronous, f"{lock_timeout:g}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self) -> socket.socket:
        """Starts the process, unless it runs. Returns what it listens to."""
        if self._socket is not None and self._process is not None and self._process.poll() is None:
            return self._socket
        self._forget()
        self._process, self._socket = start_child(self._command, answers_on_stdout=True)
        self._socket.setblocking(False)
        return self._socket

    async def commit(self, job: Job) -> bool:
        """Has `job` written. False when it was not, or when nobody knows because the process died.

        One at a time: the caller waits for the answer before it sends another.
        """
        try:
            data = marshal.dumps(job)
        except ValueError:  # a value that is not plain data: the ordinary way takes it
            return False
        loop = asyncio.get_running_loop()
        answer = b""
        try:
            connection = self.start()
            await loop.sock_sendall(connection, LENGTH.pack(len(data)) + data)
            answer = await loop.sock_recv(connection, 1)
        except OSError:
            return False
        finally:
            if not answer:  # gone, or given up: the next transaction must not take this one's answer for its own
                self._forget()
        return answer == DONE

    def close(self) -> None:
        """Ends the process after what it has in progress."""
        process = self._process
        self._forget()
        if process is not None:
            end_child(process, 10)

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.poll()  # one that has died leaves nothing behind
        self._socket = self._process = None
