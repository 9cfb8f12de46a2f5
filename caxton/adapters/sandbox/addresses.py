"""Which machine an origin stands for: names are resolved here, and what they resolve to is checked before a connection.

The connection then goes to the checked address, so a name that resolves to another one the next moment gains nothing.
"""

import ipaddress
import queue
import socket
import threading
from typing import Final, Protocol

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOCAL_NAME: Final = "localhost"
"""The one name whose grant means loopback addresses."""

_CLOUD_SERVICES: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses in public ranges that answer a cloud's own machines only: Azure's WireServer."""

_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_TRANSLATED: Final = ipaddress.ip_network("::ffff:0:0:0/96")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


class Unreachable(Exception):
    """There is no address that the tool may connect to; the text says why."""


class Forbidden(Unreachable):
    """There is one, but no tool may connect to it."""

    origin: str = ""
    """What the tool asked for."""


def literal(host: str) -> Address | None:
    """The address, if `host` is one rather than a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether the address belongs to the internet: not private, loopback, link-local, multicast, reserved or a
    cloud's."""
    inner = inner_address(address)
    return inner.is_global and not inner.is_multicast and not inner.is_reserved and inner not in _CLOUD_SERVICES


def inner_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does; else the address itself, without its zone."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    low = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        return low
    if address.ipv4_mapped is not None or address in _TRANSLATED:
        return low
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return low
    return ipaddress.IPv6Address(int(address))


class Check(Protocol):
    """Refuses addresses that no tool may connect to."""

    def __call__(self, address: Address, port: int, /) -> None:
        """Returns if it may.

        Raises:
            Forbidden: it may not.
        """
        ...


def resolve(host: str, port: int, timeout: float, check: Check) -> list[str]:
    """Addresses at which a tool that was granted `host` may be connected, best first.

    Args:
        host: as the grant has it. A literal address is allowed whatever it is, since the manifest names it;
            "localhost" allows loopback; any other name must lead to the internet.
        port: to connect to.
        timeout: seconds that resolving may take.
        check: refuses what no grant allows.

    Raises:
        Unreachable: there is no such name, it takes too long, or it leads to an address that is not allowed.
    """
    address = literal(host)
    if address is not None:
        check(address, port)
        return [str(address)]
    found = look_up(host, port, timeout)
    if not found:
        raise Unreachable(f"{host} has no address")
    allowed = [item for item in found if (item.is_loopback if host == LOCAL_NAME else is_public(item))]
    if not allowed:
        raise Forbidden(
            f"{host} leads to the private address {found[0]}; only a grant of that very address would allow it"
        )
    for item in allowed:
        check(item, port)
    return [str(item) for item in allowed]


def look_up(host: str, port: int, timeout: float) -> list[Address]:
    """What the system resolves a name to. `getaddrinfo` knows no time limit, so a thread of its own waits for it.

    Raises:
        Unreachable: there is no such name, or it takes too long.
    """
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def work() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            found = [literal(str(info[4][0])) for info in infos]
            answers.put(list(dict.fromkeys(address for address in found if address is not None)))
        except OSError as error:
            answers.put(error)
        except UnicodeError:
            answers.put(OSError("not a name"))

    threading.Thread(target=work, name="sandbox-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout, 0))
    except queue.Empty:
        raise Unreachable(f"the name {host} could not be resolved in time") from None
    if isinstance(answer, OSError):
        raise Unreachable(f"the name {host} cannot be resolved")
    return answer
