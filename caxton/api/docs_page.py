"""The page `/docs`: Swagger UI from files that come along, under a policy that runs no other script."""

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
    body = bytes(page.body)
    headers = {"Content-Security-Policy": _policy(body.decode())}

    async def docs(_: Request) -> Response:
        return HTMLResponse(body, headers=headers)

    api.add_route("/docs", docs, methods=["GET"], include_in_schema=False)
    _write_description_once(api)


def _write_description_once(api: FastAPI) -> None:
    """Serves the description for programs as it was written for the first who asked: FastAPI writes 300 KB for each."""
    written: list[bytes] = []

    async def description(_: Request) -> Response:
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
