"""The writing process (:mod:`caxton.adapters.store.writer`) as its server sees it."""

import contextlib
import marshal
import subprocess
import sys

from caxton.adapters.store.writer import DONE, LENGTH, Job


class WriterProcess:
    """Starts it, hands it transactions one at a time, and starts it again when it is gone."""

    def __init__(self, path: str, synchronous: str) -> None:
        """For the SQLite database in `path`."""
        self._command = [sys.executable, "-m", "caxton.adapters.store.writer", path, synchronous]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the process, unless it runs."""
        if self._process is not None and self._process.poll() is not None:
            _close_pipes(self._process)
            self._process = None
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C on the terminal is for the server; this ends with its input
            )
        return self._process

    def commit(self, job: Job) -> bool:
        """Has `job` written. False when it was not, or when nobody knows because the process died."""
        try:
            data = marshal.dumps(job)
        except ValueError:  # a value that is not plain data: the ordinary way takes it
            return False
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(LENGTH.pack(len(data)) + data)
            process.stdin.flush()
            return process.stdout.read(1) == DONE
        except OSError:
            return False

    def close(self) -> None:
        """Ends the process after what it has in hand."""
        process, self._process = self._process, None
        if process is None:
            return
        _close_pipes(process)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what could not be written any more
            if pipe is not None:
                pipe.close()
