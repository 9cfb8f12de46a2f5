"""A process that has run tools ends without a word."""

import subprocess
import sys
from pathlib import Path

from tests.support.bench import WASM

PROGRAM = """
import asyncio, ctypes, sys
from pathlib import Path
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from tests.support.bench import Bench

folder = Path(sys.argv[1])
blobs = FileBlobs(folder / "blobs")
sandbox = WasmtimeSandbox(blobs, Path(sys.argv[2]))
bench = Bench(sandbox, blobs, folder, Path(sys.argv[2]))


async def main():
    for module, form in (("hostile.wasm", "component"), ("hostile_command.wasm", "command")):
        tool = await bench.tool((Path(sys.argv[3]) / module).read_bytes(), form)
        print((await bench.call(tool, "ok")).is_error)


asyncio.run(main())
sandbox.close()
# As where a library keeps modules for good: Python takes them apart one by one, those that were loaded last before others.
for module in list(sys.modules.values()):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(module))
"""


def test_a_process_that_has_run_tools_ends_quietly(tmp_path: Path, compiled: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(compiled), str(WASM)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["False", "False"], "")
