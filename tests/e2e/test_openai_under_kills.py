"""A client of OpenAI's API goes on behind a response, although the server is killed in the middle of the next one."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest

from tests.conftest import start_server, stop_server
from tests.support import stand_in
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.stand_in import Answer, Remote
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
