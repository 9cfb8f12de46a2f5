"""The port for Prometheus: a key of its own, and only by the names of the machine."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from caxton.domain.errors import InvalidSettings
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.listeners import metrics_server
from caxton.runtime.settings import Settings

pytestmark = [pytest.mark.requirement("SEC-9"), pytest.mark.requirement("ADM-1")]


@asynccontextmanager
async def scraped(settings: Settings, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the metrics of this process."""
    server = metrics_server(settings, DataFolder(folder))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


async def test_a_scraper_sends_the_key_of_the_data_folder(tmp_path: Path) -> None:
    async with scraped(Settings(), tmp_path) as client:
        path = tmp_path / "metrics.key"
        assert path.stat().st_mode & 0o777 == 0o600
        key = {"Authorization": f"Bearer {path.read_text().strip()}"}
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": key["Authorization"][:-1]}):
            refused = await client.get("/metrics", headers=wrong)
            assert refused.status_code == 401
            assert refused.json()["code"] == "not_authenticated"
            assert "metrics.key" in refused.json()["hints"][0]["text"]
        answer = await client.get(
            "/metrics?x=1", headers={**key, "Accept": "application/openmetrics-text;version=1.0.0"}
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert "caxton_messages_accepted" in answer.text
        assert (await client.get("/", headers=key)).status_code == 404
        refused = await client.post("/metrics", headers=key)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_a_key_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "scrape").write_text("a key that an operator chose\n")
    async with scraped(Settings(metrics_key=f"file:{tmp_path}/scrape"), tmp_path / "data") as client:
        good = {"Authorization": "Bearer a key that an operator chose"}
        assert (await client.get("/metrics", headers=good)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
    assert not (tmp_path / "data").exists()


async def test_open_metrics_are_open_to_this_machine_only(tmp_path: Path) -> None:
    async with scraped(Settings(metrics_open=True), tmp_path) as client:
        assert (await client.get("/metrics")).status_code == 200
        for headers, status in (
            ({"Host": "evil.example"}, 421),
            ({"Host": "evil.example:9090"}, 421),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "http://127.0.0.1:1"}, 403),
        ):
            assert (await client.get("/metrics", headers=headers)).status_code == status
    with pytest.raises(InvalidSettings, match="loopback"):
        metrics_server(Settings(metrics_open=True, metrics_host="0.0.0.0"), DataFolder(tmp_path))
