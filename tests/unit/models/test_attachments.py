"""Files of a request, made ready for a model: no more than it may carry is ever loaded."""

import asyncio
from dataclasses import replace

from caxton.adapters.models.attachments import LONGEST_TEXT, MOST_BYTES, attach
from caxton.adapters.models.endpoints import Endpoint
from caxton.adapters.models.settings import ProviderSettings
from caxton.domain.ports import PromptFile, PromptPart
from tests.unit.models import model_requests


def test_texts_count_and_only_their_beginnings_are_loaded() -> None:
    loaded: list[int] = []

    async def load(most: int) -> bytes:
        loaded.append(most)
        return b"x" * most

    huge = PromptFile("log.txt", "text/plain", 1 << 30, load)
    request = replace(
        model_requests.request(model_requests.agent()),
        parts=[PromptPart("user", str(number), files=[huge] * 20) for number in range(50)],
    )
    ready = asyncio.run(attach(request, Endpoint("openai", "gpt", ProviderSettings())))
    assert loaded == [LONGEST_TEXT] * (MOST_BYTES // LONGEST_TEXT)
    assert sum(len(part.text) for part in ready.parts) < MOST_BYTES + 100_000
    assert "which is not shown to you" in ready.parts[0].text
    assert "[cut: 256 KB of 1" in ready.parts[-1].text
