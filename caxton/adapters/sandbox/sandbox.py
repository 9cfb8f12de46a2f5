"""The sandbox of tools and agents: the port `Sandbox` over wasmtime."""

import asyncio
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from caxton.adapters.sandbox import calls, limits
from caxton.adapters.sandbox.cache import CompiledFiles
from caxton.adapters.sandbox.checks import SchemaChecks, check_schemas, validate_arguments, validate_structured
from caxton.adapters.sandbox.commands import CommandProgram
from caxton.adapters.sandbox.compiler import TIME_LIMIT, Compiler, Form, LoadedCode
from caxton.adapters.sandbox.components import AgentProgram, ComponentProgram
from caxton.adapters.sandbox.engine import settings_key, shared_runtime
from caxton.adapters.sandbox.granting import Granting, explain_limit
from caxton.adapters.sandbox.guard import Guard
from caxton.adapters.sandbox.host import Grants, Run
from caxton.adapters.sandbox.limits import Subject
from caxton.adapters.sandbox.program import Program
from caxton.adapters.sandbox.threads import SandboxThreads
from caxton.domain.agent_modules import FUNCTION, AgentState, Handled
from caxton.domain.errors import AgentUnavailable, InvalidModule, NotFound, ToolError, ToolInputInvalid, ToolUnavailable
from caxton.domain.grants import NOTHING, Rights
from caxton.domain.ids import Digest
from caxton.domain.ports import BlobStore
from caxton.domain.questions import Answer
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion
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
        grants = await self._granting.grants(customer, manifest, files, rights)
        program = await self._tool(customer, manifest, files)
        subject = Subject(manifest.name, _DESCRIBE, self._granting.limits(manifest, rights))

        def work() -> Sequence[ToolFunction]:
            with self._started(subject, grants) as run:
                return calls.describe(program, run, subject)

        try:
            functions = await self._threads.run(customer, manifest.name, work)
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
        answers: Sequence[Answer] | None = None,  # noqa: ARG002 - modules ask nobody
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
            answers: of no consequence, for modules ask nobody.

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
            grants = await self._granting.grants(customer, tool.manifest, tool.files, rights)
            program = await self._tool(customer, tool.manifest, tool.files)
        except (InvalidModule, NotFound) as error:  # it was valid when it was deployed: this worker cannot run it
            raise ToolUnavailable(
                f'"{tool.name}" cannot run here: {error.message}',
                *error.hints,
                reason=error.reason,
                details={**error.details, **subject.details()},
            ) from error

        def work() -> ToolResult:
            with self._started(subject, grants) as run:
                return calls.call(program, run, subject, described, text)

        with sandbox_span(tool.name, tool.manifest.form) as span:
            threads = self._brief if brief else self._threads
            try:
                result = await threads.run(customer, (tool.digest, function), work)
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

    async def inspect(self, customer: str, module: ToolVersion) -> None:
        """Compiles the component of an agent (cached by content).

        Raises:
            InvalidModule: it is not WebAssembly, or not of the world `caxton:agent/agent`.
        """
        await self._program(customer, module.manifest, module.files, "agent")

    async def handle(
        self,
        customer: str,
        module: ToolVersion,
        message: str,
        state: AgentState,
        *,
        rights: Rights = NOTHING,
        brief: bool = False,
    ) -> Handled:
        """Runs one step of an agent.

        Args:
            customer: whose blob the component is.
            module: what to run.
            message: what it gets, as JSON.
            state: what it kept; stays as it is.
            rights: what the call is granted; it gets what the agent's file requests of that.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.

        Raises:
            AgentModuleError: a subclass for each limit, trap and bad answer, with `usage` and `log` of the call.
        """
        manifest = module.manifest
        subject = Subject(module.name, FUNCTION, self._granting.limits(manifest, rights), is_agent=True)
        size = len(message.encode())
        if size > subject.limits.message_size:
            raise calls.agent_error(limits.message_too_large(subject, "message", size))
        try:
            grants = await self._granting.grants(customer, manifest, module.files, rights)
            program = await self._program(customer, manifest, module.files, "agent")
        except (InvalidModule, NotFound) as error:  # it was valid when it was deployed: this worker cannot run it
            raise AgentUnavailable(
                f"{subject.name} cannot run here: {error.message}",
                *error.hints,
                reason=error.reason,
                details={**error.details, **subject.details()},
            ) from error
        assert isinstance(program, AgentProgram)

        def work() -> Handled:
            with self._started(subject, grants) as run:
                return calls.handle(program, run.keep(state), subject, message)

        with sandbox_span(module.name, "agent") as span:
            threads = self._brief if brief else self._threads
            try:
                handled = await threads.run(customer, (module.digest, FUNCTION), work)
            except ToolError as error:
                explain_limit(error, manifest, self._granting.missing(manifest, rights))
                raise calls.agent_error(error) from error
            span.used(handled.usage)
            return handled

    @contextmanager
    def _started(self, subject: Subject, grants: Grants) -> Generator[Run]:
        """A run that begins now, and is kept where `close` finds it."""
        run = Run.start(subject.limits, grants)
        self._runs[id(run)] = run
        try:
            yield run
        finally:
            del self._runs[id(run)]

    # --- getting ready -----------------------------------------------------------------------------------------------

    async def _tool(self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest]) -> Program:
        program = await self._program(customer, manifest, files, manifest.form)
        assert not isinstance(program, AgentProgram)
        return program

    async def _program(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], form: Form
    ) -> Program | AgentProgram:
        digest = files.get(manifest.module)
        if digest is None:
            raise InvalidModule(
                f'there is no file "{manifest.module}", which is named as the module of "{manifest.name}"',
                "build the module, or correct its name",
                details={"module": manifest.module},
            )
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

    async def _load(
        self, customer: str, digest: Digest, form: Form, has_files: bool
    ) -> tuple[Program | AgentProgram, int]:
        compiler = self._compiler or Compiler(CompiledFiles(self._folder, settings_key()), self._compile_timeout)
        self._compiler = compiler

        def make(compiled: bytes) -> Program | AgentProgram:
            runtime = shared_runtime()
            if form == "command":
                return CommandProgram(runtime, compiled, has_files)
            return AgentProgram(runtime, compiled) if form == "agent" else ComponentProgram(runtime, compiled)

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


def _loaded(make: Callable[[bytes], T], compiled: bytes) -> T | None:
    """The program; None if wasmtime refuses the code, which was made on a machine with another processor, say."""
    import wasmtime

    try:
        return make(compiled)
    except wasmtime.WasmtimeError:
        return None
