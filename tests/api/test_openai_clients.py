"""Strict clients of OpenAI's API, as they come from the registries: OpenAI's library for JavaScript, pydantic-ai."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.api.conftest import Deploy
from tests.api.test_openai_face import thinker
from tests.conftest import RunningServer
from tests.support.node import LOCKED, node, node_modules, run
from tests.support.stand_in import Answer, Remote

pytestmark = [pytest.mark.requirement("FAC-3"), pytest.mark.requirement("FAC-8")]


def asks(name: str, **arguments: Any) -> Answer:
    return Answer(calls=[{"id": "call_1", "name": name, "arguments": arguments}])


def test_the_library_for_javascript_does_all_that_there_is(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote
) -> None:
    script = node_modules().parent / "openai.mjs"  # it imports what is beside it
    shutil.copy(LOCKED / "openai.mjs", script)
    deploy(thinker(stand_in))
    stand_in.answer(
        Answer(text="Hi."),
        Answer(text="one two three", chunks=3),
        asks("get_weather", city="Oslo"),
        Answer(text="It is cold."),
        asks("get_weather", city="Oslo"),
        Answer(text="Still cold."),
        Answer(text='{"total": 12}'),
        Answer(text="Noted."),
        Answer(text="Blue."),
        asks("get_weather", city="Rome"),
        Answer(text="It is warm."),
    )
    done = run([node(), str(script), caxton_server.url, caxton_server.api_key, workspace])
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "think" in told["models"]
    assert told["said"] == ["Hi.", "stop", True]
    assert told["streamed"] == ["one two three", "one two three", 50]
    assert (told["tools"], told["toolsStreamed"]) == ("It is cold.", "Still cold.")
    assert told["called"] == ["Oslo", "Oslo"]
    assert told["typed"] == {"total": 12}
    assert told["responses"] == ["Noted.", "Blue.", True]
    assert told["events"][0] == "response.created"
    assert told["events"][-1] == "response.completed"
    assert told["wanted"] == ["get_weather", {"city": "Rome"}]
    assert told["answered"] == "It is warm."
    assert told["embedded"] == [384, 384]
    assert told["failures"] == {
        "missing": ["NotFoundError", 404, "model_not_found", "model"],
        "wrong": ["BadRequestError", 400, "invalid_input", "n"],
        "stranger": ["AuthenticationError", 401, "invalid_api_key", None],
        "lost": ["NotFoundError", 404, "not_found", "previous_response_id"],
    }


class Sum(BaseModel):
    """What an agent of pydantic-ai is to answer."""

    total: int


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_agents_of_pydantic_ai_have_caxton_as_their_model(
    caxton_server: RunningServer,
    workspace: str,
    deploy: Deploy,
    stand_in: Remote,
    kind: Callable[..., Model],
) -> None:
    deploy(thinker(stand_in))

    async def work(model: Callable[[str], Model]) -> None:
        stand_in.answer(Answer(text="Noted."), Answer(text="Blue."))
        agent = Agent(model("think"), instructions="Be brief.")
        first = await agent.run("I like blue.")
        second = await agent.run("What do I like?", message_history=first.all_messages())
        assert (first.output, second.output) == ("Noted.", "Blue.")
        assert second.usage.input_tokens == 50
        seen = [each["content"] for each in stand_in.requests()[-1]["messages"]]
        assert seen == ["You think.\n\nBe brief.", "I like blue.", "Noted.", "What do I like?"]

        stand_in.answer(asks("weather", city="Oslo"), Answer(text="It is cold.", chunks=3))
        called: list[str] = []

        def weather(city: str) -> str:
            """The weather of a city."""
            called.append(city)
            return "3"

        async with Agent(model("think"), tools=[weather]).run_stream("Oslo?") as stream:
            pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
        assert ("".join(pieces), called) == ("It is cold.", ["Oslo"])
        assert [each["role"] for each in stand_in.requests()[-1]["messages"]] == [
            "system",
            "user",
            "assistant",
            "tool",
        ]

        stand_in.answer(asks("final_result", total=12))
        assert (await Agent(model("think"), output_type=Sum).run("Sum")).output == Sum(total=12)

        with pytest.raises(ModelHTTPError) as missing:
            await Agent(model("nobody")).run("x")
        assert missing.value.status_code == 404

    _with_models(caxton_server, workspace, kind, work)


def _with_models(
    server: RunningServer,
    workspace: str,
    kind: Callable[..., Model],
    work: Callable[[Callable[[str], Model]], Awaitable[None]],
) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/openai/v1",
            api_key=server.api_key,
            default_headers={"X-Caxton-Workspace": workspace},
            max_retries=0,
            timeout=120,
        ) as client:
            provider = OpenAIProvider(openai_client=client)
            await work(lambda name: kind(name, provider=provider))

    asyncio.run(main())
