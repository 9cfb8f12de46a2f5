"""Origins: scheme, host and port of what a tool may call, exactly."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "https://api.example.com"
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


def normal_origin(text: str) -> str:
    """The one way to write an origin: lower case, IPv6 shortened, no default port.

    Raises:
        ValueError: it is not an origin, or has a wildcard.
    """
    if any(character.isspace() or not character.isprintable() for character in text) or len(text) > 300:
        raise ValueError(f'this is not an origin; write for example "{_EXAMPLE}"')
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), None if "*" in text else parts.port
    except ValueError:
        raise _no_origin(text) from None
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in DEFAULT_PORTS or not host or not plain:
        raise _no_origin(text)
    if "*" in text:
        raise ValueError(f'"{text}" has a wildcard, and origins match exactly; name each host, such as "{_EXAMPLE}"')
    try:
        address = ipaddress.ip_address(host)
        host = f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        if ":" in host:
            raise _no_origin(text) from None
    return f"{parts.scheme}://{host}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")


def checked_origin(text: str) -> str:
    """`text` if it is an origin that a call can match. Stricter than what older versions let in.

    Raises:
        ValueError: it is none; what to write instead.
    """
    host = urlsplit(normal_origin(text)).hostname or ""
    if not host.isascii():
        try:
            meant = host.encode("idna").decode()
        except UnicodeError:
            raise _no_origin(text) from None
        raise ValueError(f'"{text}" is not matched by any call; write the host in its ASCII form, "{meant}"')
    if ":" not in host and not _NAME.fullmatch(host):
        raise ValueError(
            f'"{text}" is not an origin: "{host}" is not the name of a host; write for example "{_EXAMPLE}"'
        )
    return text


def _no_origin(text: str) -> ValueError:
    return ValueError(f'"{text}" is not an origin; write for example "{_EXAMPLE}"')
