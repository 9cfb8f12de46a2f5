"""Rules against pages in a browser: which names of the server are answered to, and which sites may call it.

A browser lends a page what the page does not have: it sends the login of `/docs` along, and it reaches addresses that only
this machine reaches. Three headers, which no page can forge, tell such requests apart: `Host` (a name that an attacker has
pointed at this server is not one of ours), `Sec-Fetch-Site` and `Origin` (who asks).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from caxton.api.a2a_face.errors import CARD, KEYS
from caxton.domain.errors import CrossSite, MalformedRequest, WrongHost
from caxton.domain.triggers import HOOKS

BROWSER_PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json"})
BROWSER_FILES = "/static-offline-docs/"
"""Pages for people, and what belongs to them: read only, and the only paths that take a browser's login."""

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
"""Where clients learn which identity provider's tokens are accepted (RFC 9728); behind it, the path of what they want."""

OPEN_PATHS = frozenset({"/health", "/ready", "/", CARD, KEYS, PROTECTED_RESOURCE, f"{PROTECTED_RESOURCE}/mcp"})
"""The only paths that answer without a key, beside those of webhooks."""


def is_open(path: str) -> bool:
    """Whether a path answers without a key: it is open, or deliveries that are signed arrive there."""
    return path in OPEN_PATHS or path.startswith(HOOKS)


SAFE_METHODS = frozenset({"GET", "HEAD"})

MOST_KNOWN = 1_000
"""Spellings of `Host` that are remembered as good."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
"""What every answer says, whatever it is."""

CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of answers that are not pages: nothing in them is ever run or framed."""

NOT_KEPT = (b"cache-control", b"no-store")


@dataclass(frozen=True)
class WebAccess:
    """What an operator says about names and sites."""

    hosts: tuple[str, ...] = ()
    """Names of the server beside loopback's: "caxton.example.com", "*.example.com", or "*" for any."""
    origins: tuple[str, ...] = ()
    """Other sites whose pages may call the API with a key, as "https://dashboard.example.com"."""
    any_address: bool = False
    """Whether IP addresses other than loopback's are names of the server: it listens beyond this machine."""


class WebRules:
    """Decides by a request's headers whether it may come in."""

    def __init__(self, access: WebAccess, is_page: Callable[[str], bool] | None = None) -> None:
        """Keep the rules that `access` states.

        Args:
            access: names and sites.
            is_page: says of a path whether people may come to it by a link on any page; those of the documentation
                if not given.
        """
        self._access = access
        self._is_page = is_page or BROWSER_PAGES.__contains__
        self._names = frozenset(host.lower() for host in access.hosts if not host.startswith("*"))
        self._suffixes = tuple(host[1:].lower() for host in access.hosts if host.startswith("*."))
        self._any = "*" in access.hosts
        self._origins = frozenset(access.origins)
        self._known: set[str] = set()

    def check_host(self, host: str | None) -> None:
        """Refuses names that are not the server's. Requests of HTTP/1.0 may have none.

        A page whose name an attacker points at this machine (DNS rebinding) is, for the browser, of one site with the
        server; only the name tells.

        Raises:
            MalformedRequest: it is not a host at all.
            WrongHost: it is another's.
        """
        if host is None or host in self._known:
            return
        found = _HOST.fullmatch(host)
        if found is None:
            raise MalformedRequest("the Host header is not a host")
        name = found.group(1).lower().rstrip(".")
        if not (self._any or self._is_ours(name)):
            raise WrongHost(
                "this server is not known by the name that the request is for",
                'name it in the server\'s settings: hosts = ["name"] in [server] of caxton.toml, or CAXTON_SERVER__HOSTS',
            )
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(host)

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name in self._names or name.endswith(self._suffixes):
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        # No attacker's page has an address of this machine for its name: it would have to be served from there.
        return address.is_loopback or self._access.any_address

    def check_site(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Refuses what pages of other sites send, another port of this machine among them.

        Browsers say where a request comes from in `Sec-Fetch-Site`; older ones only in `Origin`. Programs send neither.

        Raises:
            CrossSite: a page of another site asks.
        """
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if (site is None and origin is None) or (origin is not None and origin in self._origins):
            return
        if site is None:
            foreign = origin is not None and not _is_same(origin, headers.get("host", ""))
        else:
            foreign = site not in ("same-origin", "none")
        if not foreign or (
            method in SAFE_METHODS and (path in OPEN_PATHS or (self._is_page(path) and _is_visit(headers)))
        ):
            return
        raise CrossSite(
            "a page of another site sent this request",
            "call the server from a program, or name the page's origin in cors_origins in [server] of caxton.toml",
        )


def is_browser_page(method: str, path: str) -> bool:
    """Whether a request is for a page that people look at, which a browser's login is good for."""
    return method in SAFE_METHODS and (path in BROWSER_PAGES or path.startswith(BROWSER_FILES))


def _is_visit(headers: Mapping[str, str]) -> bool:
    """Whether somebody followed a link: the page is shown by itself, and the other one learns nothing."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _is_same(origin: str, host: str) -> bool:
    """Whether an origin is the server itself. Its scheme is not looked at: a proxy may have taken TLS off."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def with_security(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers with those that tell a browser what not to do with it."""
    policy, cache = CONTENT_POLICY, NOT_KEPT
    found = [*headers, *SECURITY_HEADERS]
    names = {name.lower() for name, _ in headers}
    if policy[0] not in names:
        found.append(policy)
    if cache[0] not in names:
        found.append(cache)
    return found
