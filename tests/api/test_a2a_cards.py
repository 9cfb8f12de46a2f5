"""Cards by which clients of the A2A protocol find agents."""

import httpx
import pytest
from a2a.types.a2a_pb2 import AgentCard
from google.protobuf.json_format import ParseDict

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies


@pytest.mark.requirement("FAC-2")
def test_a_card_has_the_fields_of_the_version_that_is_asked_for_and_no_others(
    api: httpx.Client, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("x")))
    address = "/a2a/v1/echo/.well-known/agent-card.json"
    card = api.get(address).json()
    ParseDict(card, AgentCard())  # refuses what version 1.0 does not know
    assert card == api.get(address, headers={"A2A-Version": "1.0"}).json()
    older = api.get(address, params={"A2A-Version": "0.3"}).json()
    assert (older["protocolVersion"], "supportedInterfaces" in older) == ("0.3.0", False)


def test_cards_are_cached_by_their_tag(api: httpx.Client, caxton_server: RunningServer, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("x")))
    with httpx.Client(base_url=caxton_server.url, trust_env=False) as nobody:
        public = nobody.get("/.well-known/agent-card.json")
        assert "echo" not in public.text
        assert public.headers["Cache-Control"].startswith("public, max-age=")
        card = public.json()
        assert card["supportedInterfaces"][0]["url"] == f"{caxton_server.url}/a2a/v1"
        tag = public.headers["ETag"]
        same = nobody.get("/.well-known/agent-card.json", headers={"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        assert nobody.get("/a2a/v1/.well-known/agent-card.json").status_code == 401
    own = api.get("/.well-known/agent-card.json")
    assert own.headers["Cache-Control"].startswith("private")
    assert [skill["id"] for skill in own.json()["skills"]] == ["echo"]
    assert own.headers["ETag"] != tag
    assert api.get("/a2a/v1/nothing/.well-known/agent-card.json").status_code == 404
    named = api.get("/a2a/v1/agent:echo/.well-known/agent-card.json").json()
    assert named["supportedInterfaces"][0]["url"].endswith("/a2a/v1/agent:echo")
