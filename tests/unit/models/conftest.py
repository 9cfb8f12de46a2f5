"""Servers for the tests of providers.

`llmock` (a package, not ours) plays OpenAI and Anthropic over real HTTP and can fail in most ways that they do. What it
cannot do (odd headers, cut bodies, quoting errors) comes from `raw_server`, which sends given bytes.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from llmock.pytest_plugin import LLMock
from model_requests import KEY
from raw_server import RawServer

from caxton.adapters import templates
from caxton.adapters.models import ModelPrice, Models, ModelsSettings, ProviderSettings


@pytest.fixture
async def models(llmock: LLMock) -> AsyncIterator[Models]:
    openai, anthropic = llmock.base_url("openai"), llmock.base_url("anthropic")
    prices = {"gpt-4o": ModelPrice(input_per_million=2_000_000, output_per_million=1_000_000)}
    settings = ModelsSettings(
        default="chat:gpt-4o",
        providers={
            "chat": ProviderSettings(base_url=openai, api_key_env="MOCK_KEY", prices=prices),
            "responses": ProviderSettings(kind="openai-responses", base_url=openai, api_key_env="MOCK_KEY"),
            "other": ProviderSettings(kind="ollama", base_url=openai),
            "claude": ProviderSettings(kind="anthropic", base_url=anthropic, api_key_env="MOCK_KEY"),
        },
    )
    gateway = Models(settings, templates, environment={"MOCK_KEY": KEY})
    yield gateway
    await gateway.aclose()


@pytest.fixture
async def raw_server() -> AsyncIterator[RawServer]:
    server = RawServer()
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    yield server
    listener.close()


@pytest.fixture
async def raw_models(raw_server: RawServer) -> AsyncIterator[Models]:
    provider = ProviderSettings(base_url=raw_server.base_url, api_key_env="MOCK_KEY", headers={"X-Team": "TEAM"})
    gateway = Models(
        ModelsSettings(providers={"raw": provider}), templates, environment={"MOCK_KEY": KEY, "TEAM": "team-token"}
    )
    yield gateway
    await gateway.aclose()
