"""The proxies and certificates that the environment names, read once for all clients: what cannot be used is an error in words.

HTTP libraries raise whatever comes, in the middle of a request, when a variable names a proxy that they cannot use or a file
that is not there; and they send requests to this machine itself through a proxy.
"""

import os
import ssl
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from caxton.domain.errors import InvalidSettings

_PORTS = {"http": 80, "https": 443}
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> str | None:
    """The proxy that requests to `url` go through; None where they go straight there, as those to this machine always do.

    Raises:
        InvalidSettings: the environment names one that cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or is_loopback(host):
        return None
    proxies = getproxies()
    scheme = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(scheme)
    if not proxy or _is_excepted(host, parts.port or _PORTS.get(parts.scheme), proxies.get("no", "")):
        return None
    return _checked(proxy if "://" in proxy else f"http://{proxy}", _variable(f"{scheme}_proxy"))


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """As curl and Go read NO_PROXY: names with all below them, addresses, networks, perhaps with a port; `*` is everything."""
    for each in (part.strip().lower() for part in exceptions.split(",")):
        name, _, wanted_port = each.rpartition(":") if each.count(":") == 1 or "]:" in each else (each, "", "")
        if each == "*":
            return True
        if not name or (wanted_port and wanted_port != str(port)):
            continue
        try:
            if ip_address(host) in ip_network(name.strip("[]"), strict=False):
                return True
        except ValueError:  # a name
            name = name.removeprefix("*").removeprefix(".")
            if name and (host.lower() == name or host.lower().endswith(f".{name}")):
                return True
    return False


def _checked(proxy: str, variable: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme.lower() in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        parts, usable = None, False
    if parts is None or not usable:
        raise InvalidSettings(
            f"the environment variable {variable} names no proxy that can be used",
            f"write it as http://HOST:PORT, or unset {variable}; NO_PROXY excepts hosts",
            details={"variable": variable},
        )
    if parts.scheme.lower().startswith("socks") and find_spec("socksio") is None:
        raise InvalidSettings(
            f"the environment variable {variable} names a SOCKS proxy, for which a package is not installed",
            f"pip install socksio, name an HTTP proxy, or unset {variable}; NO_PROXY excepts hosts",
            details={"variable": variable},
        )
    return proxy


def _variable(name: str) -> str:
    """The variable as it is written in the environment: the small form wins, as in curl."""
    return next((each for each in (name, name.upper()) if os.environ.get(each)), name.upper())


def tls_context() -> ssl.SSLContext:
    """Trusts the certificates that SSL_CERT_FILE or SSL_CERT_DIR names, else Mozilla's.

    Raises:
        InvalidSettings: a variable names what is not there, or holds no certificate.
    """
    check_certificates()
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        import certifi

        file = certifi.where()
    return ssl.create_default_context(cafile=file or None, capath=None if file else folder)


def check_certificates() -> None:
    """Makes sure that the certificates which the environment names can be trusted.

    Raises:
        InvalidSettings: a variable names what is not there, or holds no certificate.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            raise _no_certificates("SSL_CERT_FILE", file, "it holds no certificate") from None
        except OSError as error:
            raise _no_certificates("SSL_CERT_FILE", file, error.strerror or "it cannot be read") from None
    if folder and not any(Path(each).is_dir() for each in folder.split(os.pathsep)):
        raise _no_certificates("SSL_CERT_DIR", folder, "there is no such folder")


def client_options(url: str) -> dict[str, Any]:
    """Options of an HTTP client (httpx) for one server: its proxy and its certificates, and nothing else of the environment.

    Raises:
        InvalidSettings: the environment names what cannot be used.
    """
    options: dict[str, Any] = {"trust_env": False, "proxy": proxy_for(url)}
    if url.lower().startswith("https:"):
        options["verify"] = tls_context()
    elif options["proxy"] is None:
        # Nothing is encrypted here, so no authority is trusted: to read their certificates takes 13 ms, a small command's half.
        options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return options


def _no_certificates(variable: str, value: str, reason: str) -> InvalidSettings:
    return InvalidSettings(
        f"the environment variable {variable} names {value}, which cannot be used: {reason}",
        f"name a file of certificates in PEM, or unset {variable}"
        if variable.endswith("FILE")
        else f"unset {variable}",
        details={"variable": variable},
    )
