"""Commands with granted folders: nothing in a folder stops a call from ending, and nothing leads outside."""

import asyncio
import itertools
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from caxton.adapters.sandbox import descriptors
from caxton.adapters.sandbox.commands import CommandProgram
from caxton.adapters.sandbox.descriptors import OPEN, WRITTEN
from caxton.adapters.sandbox.engine import shared_runtime
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.host import Grants, Run
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.adapters.sandbox.shape import pack, shape_of
from caxton.domain.errors import InvalidModule
from caxton.domain.tools import ToolLimits, ToolVersion
from tests.support import modules
from tests.support.bench import WASM, Bench


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the server that tools are granted."""
    path = tmp_path / "granted"
    path.mkdir()
    return path


@pytest.fixture
def open_bench(bench: Bench, tmp_path: Path, folder: Path) -> Iterator[Bench]:
    """A sandbox that may grant it."""
    sandbox = WasmtimeSandbox(bench.blobs, bench.compiled, size=1, allowed_paths=[folder, Path("/proc"), Path("/")])
    yield Bench(sandbox, bench.blobs, tmp_path, bench.compiled)
    sandbox.close()


async def reader(bench: Bench, folder: Path, form: str = "command", wall_time: float = 5) -> ToolVersion:
    """A tool that reads and writes files in `folder`."""
    module = WASM / ("hostile_command.wasm" if form == "command" else "hostile.wasm")
    files = [{"path": str(folder), "at": "/data", "write": form == "command"}]
    limits = {"wall_time": wall_time}
    return await bench.tool(module.read_bytes(), form, permissions={"files": files}, limits=limits)


def make_special_files(folder: Path) -> dict[str, str]:
    """Puts what no tool may open into a folder; what the log says of each."""
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(folder)
        listener.bind("socket")
        os.chdir(before)
    (folder / "deep").mkdir()
    (folder / "deep" / "pipe").symlink_to("../fifo")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "out").symlink_to("../secret.txt")
    (folder.parent / "secret.txt").write_text("secret")
    found = {"fifo": "a FIFO", "socket": "a socket", "deep/pipe": "a FIFO", "zero": "outside", "out": "outside"}
    if os.geteuid() == 0:
        os.mknod(folder / "device", 0o20666, os.makedev(1, 5))  # /dev/zero
        found["device"] = "a device"
    return found


@pytest.mark.requirement("TOL-3")
@pytest.mark.requirement("TOL-4")
@pytest.mark.parametrize("function", ["read_file", "write_file"])
async def test_a_command_opens_no_fifo_device_socket_or_link_out(
    open_bench: Bench, folder: Path, function: str
) -> None:
    found = make_special_files(folder)
    tool = await reader(open_bench, folder)
    for name, reason in found.items():
        result = await open_bench.call(tool, function, path=f"/data/{name}")
        assert result.is_error, name
        assert any("refused" in line and reason in line for line in result.log), (name, result.log)
    (folder / "plain.txt").write_text("plain")
    assert "plain" in (await open_bench.call(tool, "read_file", path="/data/plain.txt")).text()


@pytest.mark.requirement("TOL-4")
async def test_a_component_reads_no_fifo_device_socket_or_link_out(open_bench: Bench, folder: Path) -> None:
    found = make_special_files(folder)
    tool = await reader(open_bench, folder, "component")
    for name, reason in found.items():
        result = await open_bench.call(tool, "read_file", path=f"/data/{name}")
        assert result.is_error, name
        assert reason in result.text(), (name, result.text())


@pytest.mark.requirement("TOL-3")
async def test_a_file_without_an_end_is_read_for_as_long_as_a_call_may_take(open_bench: Bench, folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    tool = await reader(open_bench, folder, wall_time=0.5)
    begun = time.monotonic()
    result = await asyncio.gather(open_bench.call(tool, "read_file", path="/data/sparse"), return_exceptions=True)
    assert time.monotonic() - begun < 10
    assert isinstance(result[0], Exception)


@pytest.mark.requirement("TOL-4")
@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux has /proc")
@pytest.mark.parametrize("path", ["/", "/proc", "/proc/self", "/proc/sys/kernel"])
async def test_the_kernels_files_are_not_granted(open_bench: Bench, path: str) -> None:
    with pytest.raises(InvalidModule) as caught:
        await reader(open_bench, Path(path))
    assert "kernel" in caught.value.message


@pytest.mark.requirement("TOL-3")
@pytest.mark.parametrize("function", ["spin", "sleep"])
async def test_a_sandbox_ends_while_a_long_call_runs(bench: Bench, tmp_path: Path, function: str) -> None:
    sandbox = WasmtimeSandbox(bench.blobs, bench.compiled, size=1)
    module = (WASM / "hostile_command.wasm").read_bytes()
    tool = await Bench(sandbox, bench.blobs, tmp_path, bench.compiled).tool(
        module, "command", limits={"wall_time": 600, "fuel": 10**15}
    )
    call = asyncio.create_task(sandbox.call("test", tool, function, {}))
    while not sandbox.busy:
        await asyncio.sleep(0.01)
    begun = time.monotonic()
    await asyncio.to_thread(sandbox.close)
    assert time.monotonic() - begun < 20
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Exception)


# --- how much a call may do with files, told by the exit code of a command in WebAssembly's text ------------------------

OPEN_FILE = """(if (i32.ne (local.tee $n (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const {how})
 (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 8))) (i32.const 0)) (then (call $exit (local.get $n))))"""

IMPORTS = """
(import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))
(import "wasi_snapshot_preview1" "path_symlink" (func $link (param i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(data (i32.const 16) "\\00\\00\\00\\00\\00\\00\\01\\00")
(data (i32.const 64) "f")
"""
"""At 16 a list of one buffer of 64 KiB; at 64 the name of a file."""

DQUOT, MFILE = 19, 33


def open_handles() -> int:
    """Files that this process has open; 0 where nobody knows."""
    path = Path("/proc/self/fd")
    return len(list(path.iterdir())) if path.exists() else 0


def run_command(body: str, folder: Path, wall_time: float = 30) -> tuple[int, Run]:
    """The exit code of a command that may write to a folder."""
    import wasmtime

    content = modules.command(body, IMPORTS)
    runtime = shared_runtime()
    code = wasmtime.Module(runtime.engine, content).serialize()
    program = CommandProgram(runtime, pack(shape_of(content), bytes(code)), files=True)
    grants = Grants(folders=[Folder(PurePosixPath("/"), folder, write=True)])
    run = Run.start(ToolLimits(wall_time=wall_time, fuel=10**15), grants)
    return program.run(run, b"")[1], run


@pytest.mark.requirement("TOL-3")
def test_a_call_cannot_fill_the_disk(folder: Path) -> None:
    body = (
        OPEN_FILE.format(how=1)
        + """(loop $l (br_if $l (i32.eqz (local.tee $n
        (call $write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 24)))))) (call $exit (local.get $n))"""
    )
    code, run = run_command(body, folder)
    assert code == DQUOT
    assert (folder / "f").stat().st_size == WRITTEN
    assert any("256 MB" in line for line in run.log.lines)


@pytest.mark.requirement("TOL-3")
def test_a_hole_in_a_file_counts_as_written(folder: Path) -> None:
    resize = "(call $exit (call $resize (i32.load (i32.const 8)) (i64.const 0x10000000001)))"
    assert run_command(OPEN_FILE.format(how=1) + resize, folder)[0] == DQUOT
    assert (folder / "f").stat().st_size == 0


@pytest.mark.requirement("TOL-3")
def test_a_call_cannot_open_files_without_end(folder: Path) -> None:
    before = open_handles()
    code, run = run_command(f"(loop $l {OPEN_FILE.format(how=1)} (br $l))", folder)
    assert code == MFILE
    assert any(str(OPEN) in line for line in run.log.lines)
    assert open_handles() <= before


@pytest.mark.requirement("TOL-3")
def test_a_call_cannot_make_files_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "MADE", 7)
    link = "(call $link (i32.const 64) (i32.const 1) (i32.const 3) (i32.const 65) (i32.const 1))"
    body = f"""(loop $l (i32.store8 (i32.const 65) (i32.add (i32.const 97) (i32.load (i32.const 80))))
      (i32.store (i32.const 80) (i32.add (i32.const 1) (i32.load (i32.const 80))))
      (br_if $l (i32.eqz (local.tee $n {link})))) (call $exit (local.get $n))"""
    code, run = run_command(body, folder)
    assert code == DQUOT
    assert len(list(folder.iterdir())) == 7
    assert any("7 files" in line for line in run.log.lines)


@pytest.mark.requirement("TOL-3")
def test_a_folder_of_many_files_is_listed_bit_by_bit(folder: Path) -> None:
    for number in range(3_000):
        (folder / f"file-{number}").touch()
    handle = os.open(folder, os.O_RDONLY)
    listing, found = descriptors.Listing(handle), list[bytes]()
    for cookie in (*range(0, 2_800, 100), 50, 2_800):
        names = [entry.name for entry in itertools.islice(listing.after(cookie, lambda: False), 100)]
        if cookie != 50:
            found += names
    assert [entry.name for entry in itertools.islice(listing.after(50, lambda: False), 100)] == found[50:150]
    found += [entry.name for entry in listing.after(2_900, lambda: False)]
    os.close(handle)
    assert sorted(found) == sorted([b".", b"..", *(f"file-{number}".encode() for number in range(3_000))])
