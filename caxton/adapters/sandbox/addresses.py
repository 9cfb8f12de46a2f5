"""Which machine an origin stands for: names are resolved here, and what they resolve to is checked before a connection.

The connection then goes to the checked address, so a name that resolves to another one the next moment gains nothing.
"""

import ipaddress
import queue
import socket
import threading
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOCAL_NAME: Final = "localhost"
"""The one name whose grant means loopback addresses."""

_CLOUD_SERVICES: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses in public ranges that answer a cloud's own machines only: Azure's WireServer."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Unreachable(Exception):
    """There is no address that the tool may connect to; the text says why."""


def literal(host: str) -> Address | None:
    """The address, if `host` is one rather than a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether the address belongs to the internet: not private, loopback, link-local, multicast, reserved or a
    cloud's."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _CLOUD_SERVICES


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """Addresses at which a tool that was granted `host` may be connected, best first.

    Args:
        host: as the grant has it. A literal address is allowed whatever it is, since the manifest names it;
            "localhost" allows loopback; any other name must lead to the internet.
        port: to connect to.
        timeout: seconds that resolving may take.

    Raises:
        Unreachable: there is no such name, it takes too long, or it leads to an address that is not allowed.
    """
    address = literal(host)
    if address is not None:
        return [str(address)]
    found = _look_up(host, port, timeout)
    if not found:
        raise Unreachable(f"{host} has no address")
    allowed = [item for item in found if (item.is_loopback if host == LOCAL_NAME else is_public(item))]
    if not allowed:
        raise Unreachable(
            f"{host} leads to the private address {found[0]}; only a grant of that very address would allow it"
        )
    return [str(item) for item in allowed]


def _look_up(host: str, port: int, timeout: float) -> list[Address]:
    """What the system resolves a name to. `getaddrinfo` knows no time limit, so a thread of its own waits for it."""
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
