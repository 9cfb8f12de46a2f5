"""A call of a tool: fresh store and instance each time, with fuel, epoch and memory limits on."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.definitions.workspace import load_tool
from caxton.domain.deployments import Bundle
from caxton.domain.tools import ToolVersion

ROOT = Path(__file__).resolve().parents[1]
CALLS = 400
RUNS = 5


async def prepare(sandbox: WasmtimeSandbox, blobs: FileBlobs, folder: Path) -> tuple[ToolVersion, float]:
    """The tool in `folder`, compiled; and the seconds that took."""
    workspace = load_tool(folder)
    bundle: Bundle = workspace.bundles[0]
    for digest in bundle.files.values():
        await blobs.put("bench", workspace.content(digest))
    manifest = workspace.tools[0].version.manifest
    started = time.perf_counter()
    functions = await sandbox.describe("bench", manifest, bundle.files)
    took = time.perf_counter() - started
    version = ToolVersion(manifest=manifest, files=bundle.files, functions=list(functions), digest=bundle.digest)
    return version, took


async def measure() -> list[Figure]:
    """Times of calls through the sandbox's front door, and how long a first deployment takes to compile."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        blobs = FileBlobs(Path(folder) / "blobs")
        sandbox = WasmtimeSandbox(blobs, Path(folder) / "cache")
        try:
            cases = (
                ("trivial tool (C)", ROOT / "examples/tools/c", "word_count", {"text": "one two three"}, 1.0),
                (
                    "csv-tools.summarize",
                    ROOT / "caxton/bundled/tools/csv-tools",
                    "summarize",
                    {"csv": "m,v\na,1\nb,2"},
                    None,
                ),
            )
            for name, path, function, arguments, target in cases:
                tool, compiled = await prepare(sandbox, blobs, path)
                found.append(Figure(f"{name}: compile and describe", compiled, "s", 10))
                for _ in range(50):
                    await sandbox.call("bench", tool, function, arguments)
                runs: list[list[float]] = []
                for _ in range(RUNS):
                    times: list[float] = []
                    for _ in range(CALLS):
                        started = time.perf_counter()
                        await sandbox.call("bench", tool, function, arguments)
                        times.append((time.perf_counter() - started) * 1000)
                    runs.append(times)
                p50 = statistics.median(percentile(run, 0.5) for run in runs)
                p99 = statistics.median(percentile(run, 0.99) for run in runs)
                found.append(Figure(f"{name}: call p50 (sandbox overhead)", p50, "ms", 5))
                found.append(Figure(f"{name}: call p99", p99, "ms", target))
        finally:
            sandbox.close()
    return found


def figures() -> list[Figure]:
    """All of them."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print_machine()
    print_figures("sandbox", figures())
