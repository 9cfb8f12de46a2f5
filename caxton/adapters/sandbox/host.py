"""Host functions of components: the interface `caxton:tool/host`, checked against grants.

They never raise: an exception in a host callback can surface in another thread's call. What is refused or fails comes
back as `err`, and the tool decides.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from caxton.adapters.sandbox import folders
from caxton.adapters.sandbox.addresses import Check
from caxton.adapters.sandbox.fetch import NetworkGrants, fetch
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.guard import Guard
from caxton.domain.agent_modules import AgentState
from caxton.domain.grants import GrantedFolder
from caxton.domain.refusals import REFUSALS_TOLD, Refusals, RefusedKind, Why
from caxton.domain.tools import ToolLimits

if TYPE_CHECKING:
    from wasmtime import Store
    from wasmtime.component import Linker

    from caxton.adapters.sandbox.descriptors import Descriptors
    from caxton.adapters.sandbox.output import Output

_logger = logging.getLogger(__name__)

CALL_FUEL: Final = 30_000
"""What a call of a host function costs in fuel: about the 30 µs that it keeps the interpreter busy, at 10^9 a
second."""

LOG_LINES: Final = 100
LOG_LINE_LENGTH: Final = 1_000
"""Characters."""

NAP: Final = 0.05
"""Seconds after which a module that sleeps notices that it has to end."""

REFUSALS: Final = 20
"""Different refusals that the log of a call tells."""

RECORD_LIMIT: Final = 8 << 20
"""Characters of host answers that a call keeps, so that it could be run again from them."""


@dataclass(frozen=True, slots=True)
class Grants:
    """All that a tool may reach."""

    network: NetworkGrants = field(default_factory=NetworkGrants)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Granted variables that are set; `granted` has the others too."""
    granted: frozenset[str] = frozenset()
    requested: frozenset[str] = frozenset()
    """Variables that the manifest names, granted or not."""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that the manifest names and no tool gets, each with the reason."""
    folders: Sequence[Folder] = ()
    withheld: Mapping[PurePosixPath, GrantedFolder] = field(default_factory=dict[PurePosixPath, GrantedFolder])
    """Folders of the server that the manifest asks for and nobody has granted, by where the tool would see them."""
    check: Check = Guard().check_address
    """Refuses addresses that no grant allows."""


class ToolLog:
    """The first lines that a tool logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: str) -> None:
        """Keeps a line, cut to length, unless there are enough."""
        if len(self.lines) < LOG_LINES:
            kept = text[: 4 * LOG_LINE_LENGTH]
            line = "".join(character if character.isprintable() else " " for character in kept)
            self.lines.append(line[:LOG_LINE_LENGTH])

    def add_text(self, text: str) -> None:
        """Keeps every line of `text` that says something."""
        for line in text.splitlines():
            if line.strip():
                self.add(line)


Answer = tuple[bool, str]
"""Whether it worked, and the text of ok or err."""


@dataclass(slots=True)
class Run:
    """One run of a module: its limits and grants, and what it leaves behind."""

    limits: ToolLimits
    grants: Grants
    deadline: float
    """`time.monotonic()` at which it must have ended."""
    log: ToolLog = field(default_factory=ToolLog)
    store: "Store | None" = None
    started: bool = False
    """Whether the module is instantiated and its function is being called."""
    answers: list[Answer] | None = field(default_factory=list[Answer])
    """What the host answered, in order; None when it was too much to keep."""
    recorded: int = 0
    replay: Sequence[Answer] | None = None
    """Answers to give instead of asking the world again."""
    fuel_used: int = 0
    peak_memory: int | None = None
    """Bytes of linear memory at the end, which never shrinks; None for components."""
    outputs: dict[int, "Output"] = field(default_factory=dict[int, "Output"])
    """What a command writes to its standard streams."""
    files: "Descriptors | None" = None
    """What a command with granted folders has open."""
    refusals: set[str] = field(default_factory=set[str])
    """Refusals that the log tells already."""
    refused: Refusals = field(default_factory=Refusals)
    """What it asked for and may not have."""
    state: AgentState | None = None
    """What an agent keeps, to be changed; None for tools, which keep nothing."""
    state_before: AgentState | None = None
    """The same, as the run began with it."""
    needed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Kind and name of what it asked for, its manifest requests, and nobody has granted."""

    @classmethod
    def start(cls, limits: ToolLimits, grants: Grants) -> "Run":
        """A run that begins now."""
        return cls(limits, grants, time.monotonic() + limits.wall_time)

    def keep(self, state: AgentState) -> "Run":
        """Lets an agent read and change what it keeps; `state` itself stays as it is."""
        self.state_before, self.state = state, state.copy()
        return self

    def again(self) -> "Run":
        """A run that begins now and gets the same answers as this one."""
        run = Run.start(self.limits, self.grants)
        run.replay = self.answers or []
        return run if self.state_before is None else run.keep(self.state_before)

    def restart_clock(self) -> None:
        """Gives the run its whole wall time from now on."""
        self.deadline = time.monotonic() + self.limits.wall_time

    def charge(self) -> None:
        """Takes the fuel of a host call, so that a module cannot keep the server busy by calling it in a loop."""
        if self.store is not None:
            self.store.set_fuel(max(self.store.get_fuel() - CALL_FUEL, 0))

    def refuse(self, kind: RefusedKind, what: str, why: Why, needs: str = "") -> None:
        """Counts a refusal of `what`; `needs` is what somebody would have to grant."""
        self.refused.add(kind, what, why)
        if why == "not_granted" and len(self.needed) < REFUSALS_TOLD:
            self.needed.add((kind, needs))

    def stop(self) -> None:
        """Ends the run as soon as the module's own code goes on: there is no fuel left for it."""
        if self.store is not None:
            self.store.set_fuel(0)

    def wait(self, seconds: float) -> None:
        """Sleeps, but not beyond the deadline, nor for long after it was moved forward."""
        until = time.monotonic() + seconds
        while (left := min(until, self.deadline) - time.monotonic()) > 0:
            time.sleep(min(left, NAP))
        self.interrupt_if_late()

    def end(self) -> None:
        """Lets its time end now. The module notices when the epoch moves, or in its next host function."""
        self.deadline = 0

    def is_late(self) -> bool:
        """Whether its time has ended."""
        return time.monotonic() >= self.deadline

    def tell_refused(self, text: str) -> None:
        """Tells in the log, once, that the module was refused something; the event of the call counts each time."""
        self.refused.add("files", text, "never")
        if text not in self.refusals and len(self.refusals) < REFUSALS:
            self.refusals.add(text)
            self.log.add(f"refused: {text}")

    def interrupt_if_late(self) -> None:
        """Interrupts the module if its time ended inside a host function, where no epoch reaches it."""
        if self.store is not None and self.is_late():
            self.store.set_epoch_deadline(0)

    def record(self, answer: Answer) -> Answer:
        """Keeps an answer for `again`."""
        if self.answers is not None:
            self.recorded += len(answer[1])
            if self.recorded > RECORD_LIMIT:
                self.answers = None
            else:
                self.answers.append(answer)
        return answer


_active = threading.local()


class activate:  # noqa: N801 - reads as a statement: `with activate(run):`
    """Makes `run` the one whose host functions are called on this thread."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> Run:
        _active.run = self._run
        return self._run

    def __exit__(self, *_: object) -> None:
        _active.run = None


def active_run() -> Run | None:
    """The run of this thread."""
    return getattr(_active, "run", None)


def _fetch(run: Run, request: str) -> Answer:
    def refused(origin: str, why: Why) -> None:
        run.refuse("network", origin, why, needs=origin)

    return fetch(run.grants.network, run.grants.check, request, run.deadline, run.limits.message_size, refused)


def _read_file(run: Run, path: str) -> Answer:
    grants = run.grants
    seen = PurePosixPath(path)
    withheld = next((folder for at, folder in grants.withheld.items() if seen.is_relative_to(at)), None)
    if withheld is not None and ".." not in seen.parts and not any(seen.is_relative_to(f.at) for f in grants.folders):
        run.refuse("files", path, "not_granted", needs=withheld.path)
        return False, f"cannot read {path[:200]}: not granted: nobody has granted {withheld.path}"
    try:
        return True, folders.read_text(grants.folders, path, run.limits.message_size)
    except folders.Denied as error:
        run.refuse("files", path, "not_requested")
        return False, f"cannot read {path[:200]}: {error}"
    except folders.Refused as error:
        return False, f"cannot read {path[:200]}: {error}"


def _environment(run: Run, name: str) -> Answer:
    if name in run.grants.refused:
        run.refuse("environment", name, "never")
        return False, f"{name[:200]} is given to no tool: {run.grants.refused[name]}"
    if name not in run.grants.granted:
        requested = name in run.grants.requested
        run.refuse("environment", name, "not_granted" if requested else "not_requested", needs=name)
        why = "nobody has granted it" if requested else "permissions.environment does not name it"
        return False, f"not granted: {name[:200]}: {why}"
    value = run.grants.environment.get(name)
    return (True, value) if value is not None else (False, f"{name} is not set on this server")


def _log(level: str, message: str) -> None:
    run = active_run()
    if run is None:
        return
    try:
        run.charge()
        run.log.add(f"{level[:20]}: {message}")
    except Exception as error:  # by name only: the text may be a user's data
        _logger.error("a tool's log line could not be kept: %s", type(error).__name__)


def answer(ask: Callable[[Run, str], Answer], argument: str) -> Answer:
    """Asks for the run of this thread, or repeats what was answered before; whatever goes wrong is an answer too."""
    run = active_run()
    if run is None:
        return False, "no call is running"
    try:
        run.charge()
        if run.replay is not None:
            position = len(run.answers or ())
            return run.record(run.replay[position] if position < len(run.replay) else (False, "no such answer"))
        result = run.record(ask(run, argument))
        run.interrupt_if_late()
        return result
    except Exception as error:
        _logger.error("a host function failed: %s", type(error).__name__)
        return False, f"Caxton could not do it ({type(error).__name__})"


def add_host(linker: "Linker") -> None:
    """Defines the interface `host` for components of both worlds."""
    from wasmtime.component import Variant

    def define(ask: Callable[[Run, str], Answer]) -> Callable[[Any, str], Variant]:
        def function(_store: Any, argument: str) -> Variant:
            worked, text = answer(ask, argument)
            return Variant("ok" if worked else "err", text)

        return function

    def log(_store: Any, level: str, message: str) -> None:
        _log(level, message)

    with linker.root() as root:
        for name in ("caxton:tool/host@0.1.0", "caxton:agent/host@0.1.0"):
            with root.add_instance(name) as host:
                host.add_func("fetch", define(_fetch))
                host.add_func("read-file", define(_read_file))
                host.add_func("environment", define(_environment))
                host.add_func("log", log)
