"""The page `/docs`: Swagger UI from included files, under a policy that runs no other script."""

import asyncio
import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

FILES = "/static-offline-docs"


def add_docs_page(api: FastAPI) -> None:
    """Serves the description of `api` for people."""
    page = get_swagger_ui_html(
        openapi_url=str(api.openapi_url),
        title=f"{api.title}: REST API",
        swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{FILES}/swagger-ui.css",
        swagger_favicon_url=f"{FILES}/favicon.png",
        swagger_ui_parameters={"persistAuthorization": False, "validatorUrl": None},
    )
    text = _from_this_origin(bytes(page.body).decode(), str(api.openapi_url))
    body = text.encode()
    headers = {"Content-Security-Policy": _policy(text)}

    async def docs(_: Request) -> Response:
        return HTMLResponse(body, headers=headers)

    api.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
    _write_description_once(api)


def _from_this_origin(page: str, description: str) -> str:
    """`page`, asking for the description at its origin's address.

    A page that was opened as http://user:key@host would else take user and key into every address that it asks for, which
    browsers refuse. Without them they send the same login by themselves. "Try it out" asks where the description came from.
    """
    asked = f"url: '{description}'"
    if asked not in page:
        raise RuntimeError("Swagger UI's page has another form than this one is made for")
    return page.replace(asked, f"url: window.location.origin + '{description}'")


def _write_description_once(api: FastAPI) -> None:
    """Serves the description for programs as it was written for the first who asked: FastAPI writes 300 KB for each."""
    written: list[bytes] = []
    turn = asyncio.Lock()  # FastAPI fails when two threads describe at once

    async def description(_: Request) -> Response:
        async with turn:
            if not written:  # in a thread, for it takes as long as hundreds of requests
                written.append(await asyncio.to_thread(lambda: bytes(JSONResponse(api.openapi()).body)))
        return Response(written[0], media_type="application/json")

    place = str(api.openapi_url)
    api.router.routes[:] = [route for route in api.router.routes if getattr(route, "path", None) != place]
    api.add_route(place, description, methods=["GET"], include_in_schema=False)


def _policy(page: str) -> str:
    """Scripts: the files, and the page's own few lines by their hash. Swagger UI sets styles and draws data URLs."""
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in inline
    )
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
