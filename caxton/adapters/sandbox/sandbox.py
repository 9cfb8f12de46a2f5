"""The tool sandbox: the port `ToolSandbox` over wasmtime."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from caxton.adapters.sandbox import limits
from caxton.adapters.sandbox.cache import CompiledFiles
from caxton.adapters.sandbox.checks import SchemaChecks, check_schemas, validate_arguments, validate_structured
from caxton.adapters.sandbox.classify import error_of, mentions_memory
from caxton.adapters.sandbox.commands import CommandProgram
from caxton.adapters.sandbox.compiler import TIME_LIMIT, Compiler, Form, LoadedCode
from caxton.adapters.sandbox.components import ComponentProgram
from caxton.adapters.sandbox.engine import settings_key, shared_runtime
from caxton.adapters.sandbox.granting import Granting, explain_limit, not_granted
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.host import Grants, Run
from caxton.adapters.sandbox.instances import Stopped
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.sandbox.program import CommandFailed, Program, TooLarge
from caxton.adapters.sandbox.results import Malformed, check_functions, parse_call_result
from caxton.adapters.sandbox.threads import SandboxThreads
from caxton.domain.errors import (
    Hint,
    InvalidModule,
    NotFound,
    ToolError,
    ToolInputInvalid,
    ToolNotGranted,
    ToolUnavailable,
)
from caxton.domain.grants import NOTHING, Rights
from caxton.domain.ids import Digest
from caxton.domain.ports import BlobStore
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion
from caxton.domain.usage import ToolUsage
from caxton.observability.tracing import sandbox_span

T = TypeVar("T")

CODE_BUDGET: Final = 512 << 20
"""Bytes of compiled code that stay loaded: some 200 small tools, or a few in Python."""

COMPILERS: Final = 2
"""Compilations at a time, and as many more for customers that have none."""

LOADERS: Final = 2
"""Threads that load what is compiled."""

RESERVE: Final = 32
"""Calls beside the others, for customers that have not their share of them."""

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
        guard: Guard | None = None,
        compile_timeout: float = TIME_LIMIT,
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
            guard: knows what no tool gets.
            compile_timeout: seconds that a module may take to compile.
        """
        self._blobs = blobs
        self._folder = cache_folder
        self._code = LoadedCode(CODE_BUDGET)
        self._loading: dict[tuple[str, str], asyncio.Lock] = {}
        self._compiler: Compiler | None = None
        self._compile_timeout = compile_timeout
        self._threads = SandboxThreads(size, "sandbox", RESERVE)
        self._brief = SandboxThreads(brief, "sandbox-brief", RESERVE)
        self._compilers = SandboxThreads(COMPILERS, "sandbox-compiler", COMPILERS)
        self._workers = ThreadPoolExecutor(LOADERS, thread_name_prefix="sandbox-loader")
        self._runs: dict[int, Run] = {}
        self.checks = SchemaChecks()
        self._granting = Granting(
            blobs,
            cache_folder / "files",
            tuple(allowed_paths),
            os.environ if environment is None else environment,
            guard or Guard(),
            self._work,
        )

    @property
    def busy(self) -> bool:
        """Whether a call runs."""
        return bool(self._runs)

    def stop(self) -> None:
        """Begins no more calls but brief ones: others that wait, or come, are cancelled."""
        self._threads.stop()

    def close(self) -> None:
        """Ends the threads. Calls in progress are interrupted: nobody waits for them."""
        self.stop()
        self._brief.stop()
        if self._runs:
            for run in list(self._runs.values()):
                run.end()
            shared_runtime().ticker.interrupt()
        self._threads.close()
        self._brief.close()
        self._compilers.close()
        self.checks.close()
        self._workers.shutdown(cancel_futures=True)
        self._code.clear()

    async def describe(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], rights: Rights = NOTHING
    ) -> Sequence[ToolFunction]:
        """Compiles the module (cached by content) and returns what the server offers.

        Args:
            customer: whose blobs `files` are.
            manifest: the tool.toml.
            files: every file of the tool's folder by its path, module included.
            rights: what is granted to the tool for all of its calls.

        Raises:
            InvalidModule: not WebAssembly, not of the form that the manifest says, its description or a schema is not
                valid, it does not stay within its limits while it describes itself, or it is granted what this server
                does not give.
        """
        ready = await self._ready(customer, manifest, files, rights)
        subject = Subject(manifest.name, _DESCRIBE, self._granting.limits(manifest, rights))
        try:
            functions = await self._threads.run(customer, manifest.name, lambda: self._describe(ready, subject))
        except ToolError as error:
            explain_limit(error, manifest, self._granting.missing(manifest, rights))
            raise InvalidModule(
                f"the tool could not describe itself: {error.message}",
                *error.hints,
                reason=error.reason,
                details={**error.details, "cause": error.code},
            ) from error
        for function in functions:
            await check_schemas(self.checks, customer, function)
        return functions

    async def check(self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the function's schema, and calls nothing.

        Raises:
            ToolInputInvalid: they do not fit.
            ToolUnavailable: there is no such function.
        """
        subject = Subject(tool.name, function, self._granting.limits(tool.manifest, NOTHING))
        described = tool.function(function)
        if described is None:
            raise ToolUnavailable(f'"{tool.name}" has no function "{function}"', details=subject.details())
        _as_json(subject, arguments)
        await validate_arguments(self.checks, customer, tool.name, described, arguments)

    async def call(
        self,
        customer: str,
        tool: ToolVersion,
        function: str,
        arguments: Mapping[str, Any],
        *,
        workspace: str = "",  # noqa: ARG002 - nothing is kept between calls
        rights: Rights = NOTHING,
        brief: bool = False,
    ) -> ToolResult:
        """Checks the arguments against the schema, and runs one function.

        Args:
            customer: whose blobs the tool's files are.
            tool: the version to run.
            function: one that it described.
            arguments: a JSON object.
            workspace: whose call it is; of no consequence, for nothing is kept between calls.
            rights: what the call is granted; it gets what the manifest requests of that.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.

        Raises:
            ToolInputInvalid: the arguments do not fit the schema.
            ToolNotGranted: it failed, after it had asked for what its manifest requests and nobody has granted.
            ToolError: a subclass for each limit, trap and protocol violation, with `usage` and `log` of the call. A
                failure that the tool itself reports is not an exception: the result has `is_error` set.
        """
        subject = Subject(tool.name, function, self._granting.limits(tool.manifest, rights))
        described = tool.function(function)
        if described is None:
            raise ToolUnavailable(f'"{tool.name}" has no function "{function}"', details=subject.details())
        text = _as_json(subject, arguments)
        await validate_arguments(self.checks, customer, tool.name, described, arguments)
        try:
            ready = await self._ready(customer, tool.manifest, tool.files, rights)
        except (InvalidModule, NotFound) as error:  # it was valid when it was deployed: this worker cannot run it
            raise ToolUnavailable(
                f'"{tool.name}" cannot run here: {error.message}',
                *error.hints,
                reason=error.reason,
                details={**error.details, **subject.details()},
            ) from error
        with sandbox_span(tool.name, tool.manifest.form) as span:
            threads = self._brief if brief else self._threads
            try:
                result = await threads.run(
                    customer, (tool.digest, function), lambda: self._call(ready, subject, described, text)
                )
            except ToolError as error:
                explain_limit(error, tool.manifest, self._granting.missing(tool.manifest, rights))
                raise
            span.used(result.usage)
            if not result.is_error:
                try:
                    await validate_structured(self.checks, customer, tool.name, described, result.structured)
                except ToolError as error:
                    error.usage, error.log, error.refused = result.usage, tuple(result.log), result.refused
                    raise
            return result

    @contextmanager
    def _running(self, run: Run) -> Generator[Run]:
        """Keeps the run where `close` finds it."""
        self._runs[id(run)] = run
        try:
            yield run
        finally:
            del self._runs[id(run)]

    # --- on the sandbox threads --------------------------------------------------------------------------------------

    def _describe(self, ready: _Ready, subject: Subject) -> Sequence[ToolFunction]:
        run = Run.start(subject.limits, ready.grants)
        try:
            with self._running(run):
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
            with self._running(run):
                result = self._answer(ready, run, subject, function, arguments)
            if result.is_error and (lacking := not_granted(subject.name, subject.details(), subject.tool, run)):
                raise lacking
        except ToolError as error:
            lacking = not_granted(subject.name, subject.details(), subject.tool, run)
            if lacking is not None and not isinstance(error, ToolNotGranted) and "limit" not in error.details:
                # It crashed, say, after it was refused: perhaps because of that.
                error.hints[:0] = [Hint(text=f"{lacking.message}; grant it", command=lacking.hints[0].command)]
            error.usage, error.log, error.refused = usage(), tuple(run.log.lines), run.refused
            raise
        return result.model_copy(update={"usage": usage(), "log": run.log.lines, "refused": run.refused})

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
        # A tool may catch that memory ended and say so. Believed only with proof: it may be quoting somebody else.
        if is_error and mentions_memory(result.text()) and proven():
            raise limits.memory_exceeded(subject, reason="the tool reported it")
        return result

    # --- getting ready -----------------------------------------------------------------------------------------------

    async def _ready(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], rights: Rights
    ) -> _Ready:
        grants = await self._granting.grants(customer, manifest, files, rights)
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
        has_files = form == "command" and bool(manifest.permissions.files)
        key = (digest, f"{form}-files" if has_files else form)
        program = self._code.get(key)
        if program is not None:
            return program
        try:
            async with self._loading.setdefault(key, asyncio.Lock()):
                program = self._code.get(key)
                if program is None:
                    program, size = await self._load(customer, digest, form, has_files)
                    self._code.put(key, program, size)
                return program
        finally:
            self._loading.pop(key, None)

    async def _load(self, customer: str, digest: Digest, form: Form, has_files: bool) -> tuple[Program, int]:
        compiler = self._compiler or Compiler(CompiledFiles(self._folder, settings_key()), self._compile_timeout)
        self._compiler = compiler

        def make(compiled: bytes) -> Program:
            runtime = shared_runtime()
            return (
                CommandProgram(runtime, compiled, has_files)
                if form == "command"
                else ComponentProgram(runtime, compiled)
            )

        compiled = await self._work(compiler.load, digest, form)
        if compiled is not None:
            program = await self._work(_loaded, make, compiled)
            if program is not None:
                return program, len(compiled)
        content = await self._blobs.get(customer, digest)
        # Not where code is loaded: compiling may take minutes, and calls of others wait for what is loaded.
        compiled = await self._compilers.run(customer, digest, lambda: compiler.compile(digest, form, content))
        return await self._work(make, compiled), len(compiled)

    async def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)


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
