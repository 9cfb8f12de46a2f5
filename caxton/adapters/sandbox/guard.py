"""What no tool reaches, whatever it was granted: Caxton's own ports and services, link-local and metadata addresses,
the data folder, the server's secrets.

An address is checked after its name was resolved, and the connection goes to the checked address.
"""

import ipaddress
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from caxton.adapters.sandbox.addresses import (
    LOCAL_NAME,
    Address,
    Forbidden,
    Unreachable,
    inner_address,
    is_public,
    literal,
    look_up,
)
from caxton.domain.grants import Condition
from caxton.domain.never_granted import variable_problem
from caxton.domain.tools import BASE_LIMITS, MOST_LIMITS, ToolLimits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final[Sequence[Network]] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's WireServer
        "192.0.0.192/32",  # Oracle Cloud
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google Cloud
        "fd00:42::42/128",  # Scaleway
    )
)
"""Addresses outside of the link-local ranges at which clouds tell machines about themselves, credentials included."""

METADATA_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
    }
)
"""Names of such addresses, within the machines of clouds."""

_NUMBER = re.compile(r"([0-9]+|0[xX][0-9a-fA-F]*)\.?")
"""The last part of a host that resolvers take for an IPv4 address, whatever stands before it."""

MACHINES: Final = (
    "it belongs to the machine, so only the server's own customer or its settings (tools.grants) can grant it"
)

_KNOWN_FOR: Final = 5.0
"""Seconds for which the addresses of a service that Caxton uses are taken for known."""

_PSEUDO_FILES: Final = tuple(Path(path) for path in ("/proc", "/sys", "/dev", "/run"))
"""Folders in which Linux shows processes, devices, sockets and secrets as files."""


def is_own_host(address: Address) -> bool:
    """Whether the address belongs to this machine."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))  # works for the machine's own addresses only
    except OSError:
        return False
    return True


def listening_ports(root: int) -> set[int]:
    """TCP ports that Caxton or its engine listens on: those of the process `root` and its descendants, and of other
    processes on this machine that run Caxton or Temporal, as far as the system tells whose they are."""
    import psutil

    try:
        family = {root, *(child.pid for child in psutil.Process(root).children(recursive=True))}
    except psutil.Error:
        family = {root}
    verdicts: dict[int, bool] = {}
    ports: set[int] = set()
    for pid, port in _listeners(family):
        if pid not in verdicts:
            verdicts[pid] = pid in family or _is_caxton(pid)
        if verdicts[pid]:
            ports.add(port)
    return ports


def _listeners(family: Collection[int]) -> Iterator[tuple[int, int]]:
    """Process and TCP port of what listens on this machine."""
    import psutil

    try:
        found = [(each, each.pid) for each in psutil.net_connections(kind="tcp")]
    except psutil.Error:  # macOS shows the connections of all processes to root only
        found = [(each, pid) for pid in family for each in _connections(pid)]
    for each, pid in found:
        if each.status == psutil.CONN_LISTEN and pid is not None:
            yield pid, cast("tuple[str, int]", each.laddr)[1]


def _connections(pid: int) -> Sequence[Any]:
    import psutil

    try:
        return psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return ()


def _is_caxton(pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        name = process.name()
    except psutil.Error:
        return False
    if name.startswith(("temporal", "caxton")):
        return True
    starts = [Path(word).name for word in words[:3]]
    return "caxton" in starts or "temporal" in starts


def own_listening_ports() -> set[int]:
    """Likewise, for this process."""
    return listening_ports(os.getpid())


def _none() -> Collection[int]:
    return ()


def _name_problem(host: str) -> str | None:
    """Why a host cannot be granted by that name; None if that depends on where it leads."""
    if host.rstrip(".") in METADATA_NAMES:
        return "no tool may connect to link-local addresses or those of a cloud's metadata"
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return None
    try:
        meant = ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return "this is not an address"
    return f"this is another way to write an address; write {meant}"


@dataclass
class Guard:
    """What this server never gives to a tool, and the most that it lets one use."""

    ports: Collection[int] = ()
    """Of Caxton on this machine, as its settings have them."""
    services: Sequence[tuple[str, int]] = ()
    """Host and port of what Caxton uses: engine, database, memory."""
    networks: Sequence[Network] = ()
    """Other networks that the operator keeps tools out of."""
    variables: Collection[str] = ()
    """Environment variables that Caxton's settings refer to."""
    folders: Sequence[Path] = ()
    """Folders and files that Caxton keeps its own things in."""
    base: ToolLimits = BASE_LIMITS
    """What every tool may ask for without a grant."""
    maximum: ToolLimits = MOST_LIMITS
    """The most that a call may use, whatever is granted."""
    allowed_paths: Sequence[Path] = ()
    """Folders of this machine that may be granted at all."""
    allowed_commands: Collection[str] = ()
    """Command lines of MCP servers that may be started outside of the sandbox."""
    listening: Callable[[], Collection[int]] = _none
    """Ports of this machine that Caxton listens on at the moment; :func:`own_listening_ports` in a server."""
    _services_at: dict[tuple[str, int], tuple[float, list[Address]]] = field(
        default_factory=dict[tuple[str, int], tuple[float, list[Address]]]
    )

    def check_address(self, address: Address, port: int) -> None:
        """Checks that a tool may connect there at all.

        Raises:
            Forbidden: no tool may; the text says why.
        """
        seen = inner_address(address)
        if seen.is_unspecified or (seen.version == 4 and int(seen) >> 24 == 0):
            raise Forbidden("no tool may connect to the unspecified address")
        if seen.is_link_local or any(seen in network for network in METADATA if network.version == seen.version):
            raise Forbidden("no tool may connect to link-local addresses or those of a cloud's metadata")
        if seen.is_multicast or (seen.is_reserved and not seen.is_loopback):
            raise Forbidden("no tool may connect to multicast or reserved addresses")
        if any(seen in network for network in self.networks if network.version == seen.version):
            raise Forbidden("tools.blocked_networks of the server's settings keeps tools away from this address")
        # By number: a port that Caxton has on one of the machine's addresses is taken for its own on all of them.
        if is_own_host(seen) and (port in self.ports or port in self.listening()):
            raise Forbidden("no tool may connect to Caxton itself or to its workflow engine")
        if any(port == theirs and self._is_at(seen, host, theirs) for host, theirs in self.services):
            raise Forbidden("no tool may connect to what Caxton itself works with: its engine, database or memory")

    def _is_at(self, address: Address, host: str, port: int) -> bool:
        now = time.monotonic()
        known = self._services_at.get((host, port))
        if known is None or now - known[0] > _KNOWN_FOR:
            try:
                found = [inner_address(each) for each in look_up(host, port, 2.0)]
            except Unreachable:
                # Not known at the moment: where it was last, if it was ever known.
                found = known[1] if known else []
            known = self._services_at[host, port] = (now, found)
        if address in known[1]:
            return True
        return is_own_host(address) and any(is_own_host(each) for each in known[1])

    def variable_problem(self, name: str, value: str | None = None) -> str | None:
        """Why no tool gets the environment variable; None if it may be granted."""
        return variable_problem(name, self.variables, value)

    def command_problem(self, line: str) -> str | None:
        """Why no tool may have the command line started; None if it may be granted."""
        if line in self.allowed_commands:
            return None
        return "tools.allowed_commands of the server's settings does not have it"

    def folder_problem(self, path: Path) -> str | None:
        """Why no tool gets the folder of this machine; None if it may be granted."""
        real = Path(os.path.realpath(path))
        for own in self._real_folders:
            if real.is_relative_to(own) or own.is_relative_to(real):
                return "Caxton keeps its own data, settings or keys there"
        if any(real.is_relative_to(pseudo) or pseudo.is_relative_to(real) for pseudo in _PSEUDO_FILES):
            return "the system shows processes, devices or secrets there"
        return None

    @cached_property
    def _real_folders(self) -> list[Path]:
        return [Path(os.path.realpath(path)) for path in self.folders]

    def limits(self, wanted: ToolLimits) -> ToolLimits:
        """`wanted`, none of it above the most that this server lets a call use."""
        return wanted.at_most(self.maximum)

    def problems(self, condition: Condition, *, own_customer: bool) -> list[str]:
        """Why some of it cannot be granted (:class:`caxton.domain.grants.GrantPolicy`)."""
        return [
            *self._network_problems(condition, own_customer),
            *self._variable_problems(condition, own_customer),
            *self._folder_problems(condition, own_customer),
            *self._command_problems(condition, own_customer),
            *self._limit_problems(condition),
        ]

    def _network_problems(self, condition: Condition, own_customer: bool) -> Iterator[str]:
        for origin in condition.network:
            parts = urlsplit(origin)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
            address = literal(host)
            if address is None and host != LOCAL_NAME:
                problem = _name_problem(host)
                if problem is not None:
                    yield f"{origin}: {problem}"
                continue  # where it leads is checked before each connection
            try:
                self.check_address(address or ipaddress.IPv4Address("127.0.0.1"), port)
            except Forbidden as error:
                yield f"{origin}: {error}"
                continue
            if not own_customer and (address is None or not is_public(address)):
                yield f"{origin}: {MACHINES}"

    def _variable_problems(self, condition: Condition, own_customer: bool) -> Iterator[str]:
        for name in condition.environment:
            problem = self.variable_problem(name, os.environ.get(name))
            if problem is not None or not own_customer:
                yield f"{name}: {problem or MACHINES}"

    def _folder_problems(self, condition: Condition, own_customer: bool) -> Iterator[str]:
        for folder in condition.files:
            real = Path(os.path.realpath(folder.path))
            problem = self.folder_problem(real)
            if problem is not None or not own_customer:
                yield f"{folder.path}: {problem or MACHINES}"
            elif not any(real.is_relative_to(os.path.realpath(root)) for root in self.allowed_paths):
                yield f"{folder.path}: tools.allowed_paths of the server's settings does not have it"

    def _command_problems(self, condition: Condition, own_customer: bool) -> Iterator[str]:
        for line in condition.commands:
            problem = self.command_problem(line)
            if problem is not None or not own_customer:
                yield f"{line}: {problem or MACHINES}"

    def _limit_problems(self, condition: Condition) -> Iterator[str]:
        for name, value in condition.limits:
            most = getattr(self.maximum, name)
            if value is not None and value > most:
                yield f"{name}: more than tools.maximum.{name} of the server's settings, which is {most:g}"
