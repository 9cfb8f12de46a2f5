"""The sandbox, with real modules: hostile ones, and one from each language that the documentation names."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest

from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.domain.errors import InvalidModule, ToolFuelExhausted, ToolInputInvalid, ToolTimeout
from tests.support import modules
from tests.support.bench import WASM, Bench

ROOT = Path(__file__).resolve().parents[2]

CHARSETS = {
    "ISO-8859-1": b"caf\xe9",
    "windows-1252": b"caf\xe9",
    "Shift_JIS": "日本".encode("shift_jis"),
    "utf8": "é".encode(),
}
"""What the web server answers in each character set; in all others Chinese as Punycode."""


@pytest.fixture
def origin() -> Iterator[str]:
    """A web server on this machine; /away redirects elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = b"x" * 5_000_000 if self.path == "/huge" else b"hello"
            self.send_response(200)
            if self.path.startswith("/charset/"):
                charset = self.path.removeprefix("/charset/")
                body = CHARSETS.get(charset, ("\u4e2d\u6587" * 20_000).encode("punycode"))
                self.send_header("Content-Type", f"text/plain; charset={charset}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


async def test_an_answer_is_read_in_the_charset_that_it_declares(bench: Bench, origin: str) -> None:
    tool = await bench.hostile(permissions={"network": [origin]}, limits={"message_size": 4 << 20})
    for charset, content in CHARSETS.items():
        assert content.decode(charset) in (await bench.call(tool, "fetch", url=f"{origin}/charset/{charset}")).text()


@pytest.mark.requirement("TOL-5")
async def test_a_charset_of_the_far_server_takes_no_time(bench: Bench, origin: str) -> None:
    tool = await bench.hostile(permissions={"network": [origin]}, limits={"message_size": 4 << 20})
    for charset in ("punycode", "idna", "undefined", "unicode_escape", "utf-7", "rot13", "zlib", "x" * 500, "\u00e9"):
        begun = time.process_time()
        answered = await bench.call(tool, "fetch", url=f"{origin}/charset/{quote(charset)}")
        assert not answered.is_error, (charset, answered.text()[:200])
        assert time.process_time() - begun < 1, charset  # it was 3 s


@pytest.mark.requirement("TOL-4")
async def test_nothing_is_reachable_unless_granted(bench: Bench, origin: str) -> None:
    tool = await bench.hostile()
    for function, arguments in (
        ("fetch", {"url": f"{origin}/"}),
        ("read_file", {"path": "/etc/passwd"}),
        ("environment", {"name": "GRANTED"}),
    ):
        refused = await bench.call(tool, function, **arguments)
        assert refused.is_error, function
        assert "root:" not in refused.text()
        assert "hello" not in refused.text()


@pytest.mark.requirement("TOL-4")
async def test_the_network_is_granted_by_origin(bench: Bench, origin: str) -> None:
    tool = await bench.hostile(permissions={"network": [origin]})
    assert "hello" in (await bench.call(tool, "fetch", url=f"{origin}/")).text()
    port = int(origin.rpartition(":")[2])
    for url in (
        f"http://127.0.0.1:{port + 1}/",
        f"https://127.0.0.1:{port}/",
        f"http://localhost:{port}/",
        f"{origin}/away",
        f"{origin}/huge",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        f"http://127.0.0.1:{port}@example.com/",
    ):
        refused = await bench.call(tool, "fetch", url=url)
        assert refused.is_error, url


@pytest.mark.requirement("TOL-4")
async def test_files_are_granted_by_folder(bench: Bench) -> None:
    secret = bench.folder / "secret.txt"
    secret.write_text("secret")
    grants = {"files": [{"path": "data", "at": "/data"}]}
    tool = await bench.hostile(files={"data/a.txt": b"inside"}, permissions=grants)
    assert "inside" in (await bench.call(tool, "read_file", path="/data/a.txt")).text()
    for path in ("/data/../../secret.txt", "/data/missing", "/etc/passwd", "/data", str(secret), "data/a.txt\0"):
        refused = await bench.call(tool, "read_file", path=path)
        assert refused.is_error, path


@pytest.mark.requirement("TOL-4")
async def test_a_folder_of_the_server_needs_the_operators_word(bench: Bench) -> None:
    grants = {"files": [{"path": str(bench.folder), "at": "/host"}]}
    with pytest.raises(InvalidModule) as caught:
        await bench.hostile(permissions=grants)
    assert any("allowed_paths" in hint.text for hint in caught.value.hints)


@pytest.mark.requirement("TOL-4")
async def test_the_environment_is_granted_by_name(bench: Bench) -> None:
    tool = await bench.hostile(permissions={"environment": ["GRANTED"]})
    assert "yes" in (await bench.call(tool, "environment", name="GRANTED")).text()
    assert (await bench.call(tool, "environment", name="SECRET")).is_error


@pytest.mark.requirement("TOL-6")
async def test_arguments_are_checked_before_the_call(bench: Bench) -> None:
    tool = await bench.hostile()
    with pytest.raises(ToolInputInvalid) as caught:
        await bench.call(tool, "fetch", url=7)
    assert "url" in caught.value.message


@pytest.mark.requirement("TOL-3")
async def test_a_hostile_tool_does_not_disturb_its_neighbours(bench: Bench) -> None:
    hostile = await bench.hostile()

    async def spin() -> bool:
        try:
            await bench.call(hostile, "spin")
        except (ToolFuelExhausted, ToolTimeout):  # whichever a busy machine reaches first
            return True
        return False

    async def good() -> bool:
        return not (await bench.call(hostile, "ok", text="fine")).is_error

    done = await asyncio.gather(*(spin() if number % 5 == 0 else good() for number in range(50)))
    assert all(done)


async def test_a_brief_call_does_not_wait_for_those_that_take_long(bench: Bench) -> None:
    hostile = await bench.hostile(limits={"fuel": 1_000_000_000_000})
    long = [asyncio.create_task(bench.call(hostile, "spin")) for _ in range(9)]  # more than run at a time
    await asyncio.sleep(0.1)
    assert not (await bench.sandbox.call("test", hostile, "ok", {"text": "fine"}, brief=True)).is_error
    assert not any(call.done() for call in long)
    ended = await asyncio.gather(*long, return_exceptions=True)
    assert all(isinstance(error, ToolTimeout) for error in ended)


async def test_calls_of_one_function_do_not_keep_those_of_another_waiting(bench: Bench) -> None:
    hostile = await bench.hostile(limits={"fuel": 1_000_000_000_000, "wall_time": 0.3})
    ended: list[str] = []

    async def call(function: str) -> None:
        with contextlib.suppress(ToolTimeout):
            await bench.call(hostile, function)
        ended.append(function)

    many = [asyncio.create_task(call("spin")) for _ in range(16)]  # four at a time
    await asyncio.sleep(0.1)
    await call("ok")
    assert len(ended) <= 9
    many[-1].cancel()  # one that waits
    await asyncio.gather(*many, return_exceptions=True)
    assert ended.count("spin") == 15


async def test_calls_that_wait_are_cancelled_when_the_sandbox_stops_and_those_that_run_end(bench: Bench) -> None:
    hostile = await bench.hostile(limits={"fuel": 1_000_000_000_000, "wall_time": 0.5})
    sandbox = WasmtimeSandbox(bench.blobs, bench.compiled, size=1)
    calls = [asyncio.create_task(sandbox.call("test", hostile, "spin", {})) for _ in range(3)]
    await asyncio.sleep(0.2)
    sandbox.stop()
    assert not (await sandbox.call("test", hostile, "ok", {}, brief=True)).is_error
    calls.append(asyncio.create_task(sandbox.call("test", hostile, "ok", {})))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [ToolTimeout] + 3 * [asyncio.CancelledError]
    sandbox.close()


@pytest.mark.requirement("TOL-1")
@pytest.mark.parametrize("module", ["bad_describe.wasm", "not_a_tool.wasm"])
async def test_a_module_that_is_no_tool_is_refused(bench: Bench, module: str) -> None:
    with pytest.raises(InvalidModule):
        await bench.tool((WASM / module).read_bytes())


@pytest.mark.parametrize("content", [b"", b"not wasm at all", b"\0asm", b"\0asm\x0d\x00\x01\x00" + os.urandom(200)])
async def test_a_file_that_is_no_module_is_refused(bench: Bench, content: bytes) -> None:
    with pytest.raises(InvalidModule):
        await bench.tool(content)


async def test_a_compiled_module_that_somebody_changed_is_not_loaded(bench: Bench) -> None:
    cache = bench.folder / "cache"
    first = WasmtimeSandbox(bench.blobs, cache)
    tool = await Bench(first, bench.blobs, bench.folder, cache).hostile()
    first.close()
    compiled = [path for path in cache.rglob("*") if path.suffix == ".cwasm"]
    assert compiled
    for path in compiled:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-100] + os.urandom(100))
    again = WasmtimeSandbox(bench.blobs, cache)
    try:
        assert not (await again.call("test", tool, "ok", {"text": "x"})).is_error
    finally:
        again.close()


@pytest.mark.requirement("TOL-2")
@pytest.mark.parametrize(
    ("language", "form"),
    [("c", "component"), ("javascript", "component"), ("rust", "command"), ("go", "command"), ("python", "component")],
)
async def test_modules_of_each_language_run(bench: Bench, language: str, form: str) -> None:
    folder = ROOT / "examples/tools/c" if language == "c" else ROOT / "caxton/bundled/starters" / language
    modules = list(folder.glob("*.wasm"))
    if not modules:
        pytest.skip(
            f"build {folder.relative_to(ROOT)} first, as its README says: its module is too large for the repository"
        )
    tool = await bench.tool(
        modules[0].read_bytes(), form, limits={"fuel": 10_000_000_000, "wall_time": 5.0, "memory": 128 << 20}
    )
    result = await bench.call(tool, "word_count", text="to be or not to be")
    assert "6" in json.dumps(result.content) + json.dumps(result.structured)


@pytest.mark.requirement("TOL-1")
@pytest.mark.parametrize("cursor", ['""', "null"])
async def test_an_empty_cursor_is_no_further_page(bench: Bench, cursor: str) -> None:
    result = f'{{"tools":[{{"name":"one","inputSchema":{{"type":"object"}}}}],"nextCursor":{cursor}}}'
    module = modules.command_that_prints(f'{{"jsonrpc":"2.0","id":2,"result":{result}}}\n')
    tool = await bench.tool(module, form="command")
    assert [function.name for function in tool.functions] == ["one"]
