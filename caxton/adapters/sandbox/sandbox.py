"""The tool sandbox: the port `ToolSandbox` over wasmtime."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from caxton.adapters.sandbox import folders, limits
from caxton.adapters.sandbox.cache import CompiledFiles
from caxton.adapters.sandbox.classify import error_of, mentions_memory
from caxton.adapters.sandbox.commands import CommandProgram
from caxton.adapters.sandbox.compiler import Compiler, Form, LoadedCode
from caxton.adapters.sandbox.components import ComponentProgram
from caxton.adapters.sandbox.engine import settings_key, shared_runtime
from caxton.adapters.sandbox.fetch import NetworkGrants, preload
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.host import Grants, Run
from caxton.adapters.sandbox.instances import Stopped
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.sandbox.program import CommandFailed, Program, TooLarge
from caxton.adapters.sandbox.results import Malformed, check_functions, parse_call_result
from caxton.adapters.sandbox.schemas import check_schemas, validate_arguments, validate_structured
from caxton.adapters.sandbox.threads import SandboxThreads
from caxton.domain.errors import InvalidModule, NotFound, ToolError, ToolInputInvalid, ToolUnavailable
from caxton.domain.ids import Digest
from caxton.domain.ports import BlobStore
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolUsage, ToolVersion
from caxton.observability.tracing import sandbox_span

T = TypeVar("T")

CODE_BUDGET: Final = 512 << 20
"""Bytes of compiled code that stay loaded: some 200 small tools, or a few in Python."""

COMPILERS: Final = 2
"""Compilations at a time."""

BRIEF: Final = 2
"""Brief calls at a time, beside the others."""

_DESCRIBE: Final = "tools/list"
"""What errors call the function while a tool is described."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A tool that can be called: its program and what it was granted."""

    program: Program
    grants: Grants


class WasmtimeSandbox:
    """Runs tools, each call in a fresh instance with limits on memory, fuel, wall time and message size."""

    def __init__(
        self,
        blobs: BlobStore,
        cache_folder: Path,
        *,
        size: int = 4,
        brief: int = BRIEF,
        allowed_paths: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a sandbox; nothing is loaded before the first tool.

        Args:
            blobs: where modules and bundled files are.
            cache_folder: for compiled modules and unpacked folders; made if missing, private to this user.
            size: calls that run at a time. Others wait, each function in its turn, and their wall time does not begin before
                they run.
            brief: brief calls that run at a time, beside those.
            allowed_paths: folders of this machine that manifests may grant (setting `tools.allowed_paths`).
            environment: variables that manifests may grant; those of this process if None.
        """
        self._blobs = blobs
        self._folder = cache_folder
        self._allowed = tuple(allowed_paths)
        self._environment = os.environ if environment is None else environment
        self._code = LoadedCode(CODE_BUDGET)
        self._loading: dict[tuple[str, str], asyncio.Lock] = {}
        self._compiler: Compiler | None = None
        self._threads = SandboxThreads(size, "sandbox")
        self._brief = SandboxThreads(brief, "sandbox-brief")
        self._workers = ThreadPoolExecutor(COMPILERS, thread_name_prefix="sandbox-loader")
        self._preloaded = {NetworkGrants()}

    def stop(self) -> None:
        """Begins no more calls but brief ones: others that wait, or come, are cancelled."""
        self._threads.stop()

    def close(self) -> None:
        """Ends the threads once the calls in hand have ended, which their limits see to."""
        self._threads.close()
        self._brief.close()
        self._workers.shutdown(cancel_futures=True)

    async def describe(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest]
    ) -> Sequence[ToolFunction]:
        """Compiles the module (cached by content) and returns what the server offers.

        Args:
            customer: whose blobs `files` are.
            manifest: the tool.toml.
            files: every file of the tool's folder by its path, module included.

        Raises:
            InvalidModule: not WebAssembly, not of the form that the manifest says, its description or a schema is not
                valid, it does not stay within its limits while it describes itself, or it is granted what this server
                does not give.
        """
        ready = await self._ready(customer, manifest, files)
        subject = Subject(manifest.name, _DESCRIBE, manifest.limits)
        try:
            return await self._threads.run((customer, manifest.name), lambda: self._describe(ready, subject))
        except ToolError as error:
            raise InvalidModule(
                f"the tool could not describe itself: {error.message}",
                *error.hints,
                reason=error.reason,
                details={**error.details, "cause": error.code},
            ) from error

    async def call(
        self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any], *, brief: bool = False
    ) -> ToolResult:
        """Checks the arguments against the schema, and runs one function.

        Args:
            customer: whose blobs the tool's files are.
            tool: the version to run.
            function: one that it described.
            arguments: a JSON object.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.

        Raises:
            ToolInputInvalid: the arguments do not fit the schema.
            ToolError: a subclass for each limit, trap and protocol violation, with `usage` and `log` of the call. A
                failure that the tool itself reports is no exception: the result has `is_error` set.
        """
        subject = Subject(tool.name, function, tool.manifest.limits)
        described = tool.function(function)
        if described is None:
            raise ToolUnavailable(f'"{tool.name}" has no function "{function}"', details=subject.details())
        text = _as_json(subject, arguments)
        validate_arguments(tool.name, described, arguments)
        try:
            ready = await self._ready(customer, tool.manifest, tool.files)
        except (InvalidModule, NotFound) as error:  # it was valid when it was deployed: this worker cannot run it
            raise ToolUnavailable(
                f'"{tool.name}" cannot run here: {error.message}',
                *error.hints,
                reason=error.reason,
                details={**error.details, **subject.details()},
            ) from error
        with sandbox_span(tool.name, tool.manifest.form) as span:
            threads = self._brief if brief else self._threads
            kind = (customer, tool.digest, function)
            result = await threads.run(kind, lambda: self._call(ready, subject, described, text))
            span.used(result.usage)
            return result

    # --- on the sandbox threads --------------------------------------------------------------------------------------

    def _describe(self, ready: _Ready, subject: Subject) -> Sequence[ToolFunction]:
        run = Run.start(subject.limits, ready.grants)
        try:
            found = ready.program.describe(run)
            check_functions(found)
            functions = [ToolFunction.model_validate(function) for function in found]
        except Stopped as stopped:
            raise error_of(subject, stopped.stop, memory_was_denied=False) from None
        except TooLarge as error:
            raise limits.message_too_large(subject, "result", error.size) from None
        except (CommandFailed, Malformed) as error:
            raise limits.answer_invalid(subject, str(error)) from None
        except ValidationError as error:
            raise limits.answer_invalid(subject, error.errors()[0]["msg"]) from None
        for function in functions:
            check_schemas(function)
        return functions

    def _call(self, ready: _Ready, subject: Subject, function: ToolFunction, arguments: str) -> ToolResult:
        run = Run.start(subject.limits, ready.grants)
        clock, cpu = time.perf_counter_ns(), time.thread_time_ns()

        def usage() -> ToolUsage:
            return ToolUsage(
                wall_ms=(time.perf_counter_ns() - clock) / 1e6,
                cpu_ms=(time.thread_time_ns() - cpu) / 1e6,
                fuel=run.fuel_used,
                memory=run.peak_memory,
            )

        try:
            result = self._answer(ready, run, subject, function, arguments)
        except ToolError as error:
            error.usage, error.log = usage(), tuple(run.log.lines)
            raise
        return result.model_copy(update={"usage": usage(), "log": run.log.lines})

    def _answer(self, ready: _Ready, run: Run, subject: Subject, function: ToolFunction, arguments: str) -> ToolResult:
        def proven() -> bool:
            return ready.program.was_denied_memory(run, function.name, arguments)

        def ran_out() -> bool:
            return mentions_memory("\n".join(run.log.lines)) or proven()

        try:
            reply = ready.program.call(run, function.name, arguments)
            content, structured, is_error = parse_call_result(reply.value) if reply.ok else _failure(reply.value)
        except Stopped as stopped:
            unexplained = stopped.stop.is_trap and not stopped.stop.is_limit()
            raise error_of(subject, stopped.stop, unexplained and ran_out()) from None
        except TooLarge as error:
            raise limits.message_too_large(subject, "result", error.size) from None
        except CommandFailed as error:
            if ran_out():
                raise limits.memory_exceeded(subject, reason=str(error)) from None
            if error.exit_code:
                raise limits.trapped(subject, str(error)) from None
            raise limits.answer_invalid(subject, str(error)) from None
        except Malformed as error:
            raise limits.answer_invalid(subject, str(error)) from None
        result = ToolResult(content=content, structured=structured, is_error=is_error)
        if is_error:
            # A tool may catch that memory ended and say so. Believed only with proof: it may be quoting somebody else.
            if mentions_memory(result.text()) and proven():
                raise limits.memory_exceeded(subject, reason="the tool reported it")
        else:
            validate_structured(subject.tool, function, structured)
        return result

    # --- getting ready -----------------------------------------------------------------------------------------------

    async def _ready(self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest]) -> _Ready:
        grants = await self._grants(customer, manifest, files)
        digest = files.get(manifest.module)
        if digest is None:
            raise InvalidModule(
                f'the tool\'s folder has no file "{manifest.module}", which tool.toml names as its module',
                "build the module, or correct the name in tool.toml",
                details={"module": manifest.module},
            )
        return _Ready(await self._program(customer, manifest, digest), grants)

    async def _program(self, customer: str, manifest: ToolManifest, digest: Digest) -> Program:
        form: Form = manifest.form
        writes = form == "command" and any(grant.write for grant in manifest.permissions.files)
        key = (digest, f"{form}-writes" if writes else form)
        program = self._code.get(key)
        if program is not None:
            return program
        try:
            async with self._loading.setdefault(key, asyncio.Lock()):
                program = self._code.get(key)
                if program is None:
                    program, size = await self._load(customer, digest, form, writes)
                    self._code.put(key, program, size)
                return program
        finally:
            self._loading.pop(key, None)

    async def _load(self, customer: str, digest: Digest, form: Form, writes: bool) -> tuple[Program, int]:
        compiler = self._compiler or Compiler(CompiledFiles(self._folder, settings_key()))
        self._compiler = compiler

        def make(compiled: bytes) -> Program:
            runtime = shared_runtime()
            return (
                CommandProgram(runtime, compiled, writes) if form == "command" else ComponentProgram(runtime, compiled)
            )

        compiled = await self._work(compiler.load, digest, form)
        if compiled is not None:
            program = await self._work(_loaded, make, compiled)
            if program is not None:
                return program, len(compiled)
        content = await self._blobs.get(customer, digest)
        compiled = await self._work(compiler.compile, digest, form, content)
        return await self._work(make, compiled), len(compiled)

    async def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    async def _grants(self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest]) -> Grants:
        permissions = manifest.permissions
        if not (permissions.network or permissions.environment or permissions.files):
            return Grants()
        if permissions.network and manifest.form == "command":
            raise InvalidModule(
                "permissions.network is for components: a command has no sockets",
                "remove the grant, or build the tool as a component and use host.fetch",
            )
        folders.check_places(manifest)
        found: list[Folder] = []
        for grant in permissions.files:
            if grant.is_bundled:
                inside = folders.bundled_files(grant, files)
                found.append(Folder(PurePosixPath(grant.at), await self._unpacked(customer, inside)))
            else:
                found.append(folders.host_folder(grant, self._allowed))
        network = NetworkGrants.of(permissions.network)
        if network not in self._preloaded:
            await self._work(preload, network)
            self._preloaded.add(network)
        set_variables = {name: self._environment[name] for name in permissions.environment if name in self._environment}
        return Grants(network, set_variables, frozenset(permissions.environment), found)

    async def _unpacked(self, customer: str, files: Mapping[str, Digest]) -> Path:
        """The folder with these files, unpacked below the cache folder when it is first needed."""
        path = self._folder / "files" / folders.listing_digest(files)
        if not path.is_dir():
            contents = {name: await self._blobs.get(customer, digest) for name, digest in files.items()}
            await self._work(folders.write_folder, path, contents)
        return path


def _as_json(subject: Subject, arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON, if they are no larger than a message may be."""
    try:
        text = json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise ToolInputInvalid(f"the arguments of {subject.name} are not JSON", details=subject.details()) from None
    if size > subject.limits.message_size:
        raise limits.message_too_large(subject, "arguments", size)
    return text


def _failure(text: str) -> tuple[list[dict[str, Any]], Any, bool]:
    """The result of a call that the tool itself says has failed."""
    return [{"type": "text", "text": text}], None, True


def _loaded(make: Callable[[bytes], Program], compiled: bytes) -> Program | None:
    """The program; None if wasmtime refuses the code, which was made on a machine with another processor, say."""
    import wasmtime

    try:
        return make(compiled)
    except wasmtime.WasmtimeError:
        return None
