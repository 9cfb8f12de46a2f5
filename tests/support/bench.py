"""A sandbox on a bench: its blobs, and how to get a tool into it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caxton.adapters.blobs import FileBlobs
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.domain.grants import Rights
from caxton.domain.ids import digest_of
from caxton.domain.tools import ToolManifest, ToolResult, ToolVersion

WASM = Path(__file__).resolve().parents[1] / "fixtures" / "wasm"


@dataclass
class Bench:
    """A sandbox with its blobs, and how to get a tool into it."""

    sandbox: WasmtimeSandbox
    blobs: FileBlobs
    folder: Path
    """The test's own."""
    compiled: Path
    """Compiled modules, which tests share."""

    async def tool(
        self, module: bytes, form: str = "component", files: dict[str, bytes] | None = None, **more: Any
    ) -> ToolVersion:
        """A deployed tool."""
        described = {"name": "tool", "version": "1.0.0", "module": "m.wasm", "form": form, **more}
        manifest = ToolManifest.model_validate(described)
        contents = {"m.wasm": module, "tool.toml": b"", **(files or {})}
        digests = {path: await self.blobs.put("test", content) for path, content in contents.items()}
        functions = await self.sandbox.describe("test", manifest, digests, Rights.requested(manifest))
        return ToolVersion(manifest=manifest, files=digests, functions=list(functions), digest=digest_of(b"x"))

    async def hostile(self, **more: Any) -> ToolVersion:
        """The hostile tool server."""
        limits = {"fuel": 200_000_000, "wall_time": 1.0, "memory": 16 << 20} | more.pop("limits", {})
        return await self.tool((WASM / "hostile.wasm").read_bytes(), limits=limits, **more)

    async def call(self, tool: ToolVersion, function: str, **arguments: Any) -> ToolResult:
        """One call."""
        rights = Rights.requested(tool.manifest)  # all that it asks for is granted
        return await self.sandbox.call("test", tool, function, arguments, rights=rights)


@contextmanager
def new_bench(folder: Path, compiled: Path, environment: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """A sandbox of its own.

    Args:
        folder: for its blobs.
        compiled: where compiled modules are kept.
        environment: variables that tools may be granted.
    """
    blobs = FileBlobs(folder / "blobs")
    sandbox = WasmtimeSandbox(blobs, compiled, environment=environment)
    try:
        yield Bench(sandbox, blobs, folder, compiled)
    finally:
        sandbox.close()
