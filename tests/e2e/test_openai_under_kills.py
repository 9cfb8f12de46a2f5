"""A client of OpenAI's API goes on behind a response, although the server is killed in the middle of the next one."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import start_server, stop_server
from tests.support import stand_in
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.stand_in import Answer, Remote
from tests.support.tools import bundled_tool
from tests.support.waiting import until


@pytest.mark.slow
@pytest.mark.requirement("FAC-8")
@pytest.mark.requirement("FAC-3")
def test_a_response_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    port = free_port()
    with stand_in.running() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as service:
        model = Remote(service)
        environment = stand_in.as_provider(int(url.rpartition(":")[2]))
        process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
        try:
            with server.client() as api:
                text = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{model.model}"\n'
                deploy_files(api, tmp_path / "workspace", {"agents/thinker.toml": text})
            model.answer(Answer(text="Noted."), Answer(text="Blue.", delay=3), Answer(text="Blue."))
            client = openai.OpenAI(
                base_url=f"{server.url}/openai/v1", api_key=server.api_key, max_retries=30, timeout=60
            )
            first = client.responses.create(model="think", input="I like blue.")
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(
                    client.responses.create,
                    model="think",
                    input="What do I like?",
                    previous_response_id=first.id,
                    extra_headers={"Idempotency-Key": "colour"},
                )
                until(lambda: len(model.requests()) == 2)
                os.kill(server.pid, signal.SIGKILL)
                process.wait(30)
                process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
                second = asked.result(120)
            assert second.output_text == "Blue."
            assert client.responses.retrieve(first.id).output_text == "Noted."
            assert client.responses.retrieve(second.id).output_text == "Blue."
            talk = second.model_dump()["caxton"]["conversation_id"]
            with server.client() as api:
                messages = api.get(f"/v1/conversations/{talk}/messages").json()["messages"]
            said = [message["content"]["text"] for message in messages]
            assert said == ["I like blue.", "Noted.", "What do I like?", "Blue."]
        finally:
            stop_server(process)


@pytest.mark.slow
@pytest.mark.requirement("FAC-8")
@pytest.mark.requirement("FAC-3")
def test_results_of_the_callers_functions_find_their_turn_after_the_server_was_killed(tmp_path: Path) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": None, "strict": False}
    port = free_port()
    with stand_in.running() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as service:
        model = Remote(service)
        environment = stand_in.as_provider(int(url.rpartition(":")[2]))
        process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
        try:
            with server.client() as api:
                text = 'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\ntools = ["csv-tools"]\n'
                files = {"agents/thinker.toml": f'{text}model = "{model.model}"\n', **bundled_tool("csv-tools")}
                deploy_files(api, tmp_path / "workspace", files)
            own = {"id": "a", "name": "csv-tools__parse", "arguments": {"csv": "a\n1"}}
            theirs = {"id": "b", "name": "get_weather", "arguments": {"city": "Oslo"}}
            model.answer(
                Answer(calls=[own]),
                Answer(calls=[theirs]),
                Answer(text="3 degrees.", delay=3),
                Answer(text="3 degrees."),
            )
            client = openai.OpenAI(
                base_url=f"{server.url}/openai/v1", api_key=server.api_key, max_retries=30, timeout=60
            )
            first = client.responses.create(model="think", input="Weather in Oslo?", tools=[tool])
            [call] = first.output
            assert call.type == "function_call"
            os.kill(server.pid, signal.SIGKILL)
            process.wait(30)
            process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(
                    client.responses.create,
                    model="think",
                    input=[{"type": "function_call_output", "call_id": call.call_id, "output": "3"}],
                    previous_response_id=first.id,
                    tools=[tool],
                    extra_headers={"Idempotency-Key": "result"},
                )
                until(lambda: len(model.requests()) == 3)
                os.kill(server.pid, signal.SIGKILL)
                process.wait(30)
                process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
                second = asked.result(120)
            assert second.output_text == "3 degrees."
            seen = [message["role"] for message in model.requests()[-1]["messages"]]
            assert seen == ["user", "assistant", "tool", "assistant", "tool"]  # its own call was not made again
        finally:
            stop_server(process)
