"""What a browser finds: a page at `/`, and bodies in `/docs` that the routes take."""

from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from caxton.api.app import build_api
from caxton.api.examples import EXAMPLES
from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies


def test_a_browser_finds_a_page_and_programs_find_nothing(caxton_server: RunningServer) -> None:
    with httpx.Client(base_url=caxton_server.url, trust_env=False) as nobody:
        page = nobody.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert 'href="/docs"' in page.text
        assert "admin.key" in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        nothing = nobody.get("/", headers={"Accept": "application/json"})
        assert nothing.status_code == 404
        assert nothing.headers["content-type"] == "application/problem+json"


def _operations() -> list[tuple[str, APIRoute]]:
    found = [(each.path, each.original_route) for each in iter_route_contexts(build_api().router.routes)]
    return [
        (f"{method.lower()} {path}", route)
        for path, route in found
        if isinstance(route, APIRoute) and route.body_field is not None
        for method in sorted(route.methods or ())
    ]


@pytest.mark.parametrize(("operation", "route"), [pytest.param(*each, id=each[0]) for each in _operations()])
def test_the_body_that_docs_offer_is_taken(operation: str, route: APIRoute) -> None:
    assert route.body_field is not None
    _, errors = route.body_field.validate(EXAMPLES[operation], {}, loc=("body",))
    assert not errors


def test_the_example_of_a_message_is_answered(api: httpx.Client, deploy: Deploy) -> None:
    document: dict[str, Any] = api.get("/openapi.json").json()
    example = document["paths"]["/v1/messages"]["post"]["requestBody"]["content"]["application/json"]["example"]
    deploy(agent(example["capability"], rules=replies("well")))
    assert api.post("/v1/messages", json=example).json()["reply"]["content"]["text"] == "well"
    assert "admin.key" in document["components"]["securitySchemes"]["key"]["description"]
