"""Commands see WASI preview 1 as its own test suite wants it.

`wasi-testsuite.tar.xz` has the built modules of WebAssembly/wasi-testsuite (Apache-2.0 with LLVM exception; branch
prod/testsuite-base, 9f80ca3), without their debug information.
"""

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from caxton.adapters.sandbox.commands import CommandProgram
from caxton.adapters.sandbox.engine import shared_runtime
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.host import Grants, Run
from caxton.adapters.sandbox.shape import pack, shape_of
from caxton.domain.tools import ToolLimits
from tests.support.bench import WASM

ARCHIVE = WASM / "wasi-testsuite.tar.xz"


def names() -> list[str]:
    """The tests of the suite."""
    with tarfile.open(ARCHIVE) as archive:
        return [name.removesuffix(".wasm") for name in archive.getnames() if name.endswith(".wasm")]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked suite."""
    folder = tmp_path_factory.mktemp("wasi")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.requirement("TOL-4")
@pytest.mark.parametrize("name", names())
def test_the_suite_of_wasi_passes(suite: Path, name: str) -> None:
    import wasmtime

    content = (suite / f"{name}.wasm").read_bytes()
    described = suite / f"{name}.json"
    wanted: dict[str, Any] = json.loads(described.read_text()) if described.exists() else {}
    folders = []
    if "root" in wanted:
        root = suite / name.partition("/")[0] / wanted["root"]
        (root / "writeable").mkdir(parents=True, exist_ok=True)
        folders.append(Folder(PurePosixPath("/"), root, write=True))
    runtime = shared_runtime()
    code = wasmtime.Module(runtime.engine, content).serialize()
    program = CommandProgram(runtime, pack(shape_of(content), bytes(code)), files=bool(folders))
    run = Run.start(ToolLimits(wall_time=20), Grants(environment=wanted.get("env", {}), folders=folders))
    output, exit_code = program.run(run, b"", ["test.wasm", *wanted.get("args", [])])
    said = [line for line in run.log.lines if not line.startswith("refused: ")]
    assert exit_code == wanted.get("exit_code", 0), said
    if "stdout" in wanted:
        assert output.decode() == wanted["stdout"]
