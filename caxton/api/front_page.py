"""The page at `/`: what this address is, and where to go on. It tells nothing that `/health` does not tell."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from caxton.api.guard import GuardedRoute, open_to_all
from caxton.domain.errors import Hint, NotFound

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Caxton</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
code { background: #8882; padding: 0 .25em; }
:root { color-scheme: light dark; }
</style>
</head>
<body>
<h1>Caxton</h1>
<p>An agent server runs here.</p>
<ul>
<li><a href="/docs">The REST API, to try out</a>. The browser asks for a login: any user name, and an API key as the password.
On the server's machine, <code>admin.key</code> in its data folder has one; <code>caxton key create</code> makes others.</li>
<li><a href="/health">Whether it is healthy</a>, as JSON.</li>
<li>On the command line: <code>caxton capabilities</code> says what its agents offer, <code>caxton ask</code> asks for it,
<code>caxton conversation list</code> shows what was said.</li>
</ul>
</body>
</html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


router = APIRouter(route_class=GuardedRoute)


@router.get("/", include_in_schema=False, response_class=HTMLResponse)
@open_to_all
async def front(request: Request) -> Response:
    """Shows the page to browsers; programs are told that there is nothing here."""
    if "text/html" not in request.headers.get("accept", ""):
        raise NotFound("there is nothing at this address", Hint(text="the API is described at /openapi.json"))
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "Vary": "Accept"})
