"""Nobody gets the end of one text behind the beginning of another, although the server was killed while a model spoke."""

import json
import os
import signal
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from caxton.client import Caxton
from tests.conftest import start_server, stop_server
from tests.support import stand_in
from tests.support.agui import check_order, run_input, user
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

BEFORE = "The colour is red, as everybody has known from the very beginning of it all."
AFTER = "Blue: it was blue all along, and whoever says something else has not looked at it, not even once."


class Frame(NamedTuple):
    """A server-sent event."""

    id: str
    kind: str
    data: dict[str, Any]


class Followed:
    """A stream that a client reads, beside the test, until its end or that of the server."""

    def __init__(self, pool: ThreadPoolExecutor, api: httpx.Client, method: str, path: str, body: Any = None) -> None:
        """Begin to read."""
        self._pool, self._what = pool, (method, path, body)
        self.frames: list[Frame] = []
        self._reading = self._start(api)

    def _start(self, api: httpx.Client) -> Future[None]:
        return self._pool.submit(self._read, api)

    def resume(self, api: httpx.Client, *otherwise: Any) -> list[Frame]:
        """What comes behind the last event that the client has, to the end; asked for `otherwise`, if that is given."""
        self._reading.result(60)
        before = len(self.frames)
        self._what = (*otherwise, None) if otherwise else self._what
        self._start(api).result(60)
        return self.frames[before:]

    def _read(self, api: httpx.Client) -> None:
        method, path, body = self._what
        headers = {"Last-Event-ID": self.frames[-1].id} if self.frames else {}
        fields: dict[str, str] = {}
        with (
            suppress(httpx.TransportError),
            api.stream(method, path, json=body, headers={"A2A-Version": "1.0", **headers}, timeout=60) as response,
        ):
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    frame = Frame(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
                    self.frames.append(frame)
                    fields = {}


def rest_text(frames: list[Frame]) -> str:
    """What a client of REST shows."""
    text = ""
    for frame in frames:
        text = text + frame.data["text"] if frame.kind == "delta" else "" if frame.kind == "reset" else text
    return text


def a2a_text(frames: list[Frame]) -> str:
    """What a client of A2A shows."""
    text = ""
    for frame in frames:
        update = frame.data.get("artifactUpdate")
        if update is not None:
            piece = "".join(part["text"] for part in update["artifact"]["parts"])
            text = text + piece if update.get("append") else piece
    return text


def agui_texts(frames: list[Frame]) -> list[str]:
    """The messages that a client of AG-UI shows."""
    texts: dict[str, str] = {}
    for frame in frames:
        if frame.data["type"] == "TEXT_MESSAGE_CONTENT":
            texts[frame.data["messageId"]] = texts.get(frame.data["messageId"], "") + frame.data["delta"]
    return list(texts.values())


@pytest.mark.slow
@pytest.mark.requirement("MSG-7", "FAC-2", "FAC-7")
@pytest.mark.parametrize("heard_anew", [True, False], ids=["while it speaks anew", "when it has spoken"])
def test_a_text_that_a_kill_cut_off_is_taken_back_before_another_is_told(tmp_path: Path, *, heard_anew: bool) -> None:
    port = free_port()
    with stand_in.running() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as service:
        model = Remote(service)
        environment = stand_in.as_provider(int(url.rpartition(":")[2]))
        process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
        try:
            with (
                server.client() as api,
                ThreadPoolExecutor(4) as pool,
                Caxton(server.url, api_key=server.api_key) as client,
            ):
                text = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{model.model}"\n'
                deploy_files(api, tmp_path / "workspace", {"agents/thinker.toml": text})
                slowly = Answer(text=BEFORE, chunks=38, took=38)
                again = Answer(text=AFTER, chunks=20, took=4.0 if heard_anew else 0.0)
                model.answer(slowly, slowly, again, again)
                message = {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": [{"text": "Which colour?"}]}
                a2a = Followed(pool, api, "POST", "/a2a/v1/think/message:stream", {"message": message})
                until(lambda: a2a.frames)
                turn = a2a.frames[0].data["task"]["id"]
                rest = Followed(pool, api, "GET", f"/v1/executions/{turn}/stream")
                called = pool.submit(lambda: list(client.stream(turn)))
                agui = Followed(pool, api, "POST", "/v1/agui/think", run_input(uuid.uuid4().hex, user("Which?")))
                until(lambda: len(rest_text(rest.frames)) >= 8, 60)
                until(lambda: len(a2a_text(a2a.frames)) >= 8, 60)
                until(lambda: agui_texts(agui.frames) and len(agui_texts(agui.frames)[0]) >= 8, 60)
                os.kill(server.pid, signal.SIGKILL)
                process.wait(30)
                process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
                if not heard_anew:
                    until(lambda: _is_over(api, turn), 60)

                cut = rest_text(rest.frames)
                assert BEFORE.startswith(cut)
                behind = rest.resume(api)
                assert next(frame.kind for frame in behind if frame.kind in ("reset", "delta")) == "reset"
                assert behind[-1].kind == "reply"
                assert rest_text(rest.frames) == (AFTER if heard_anew else "")
                assert behind[-1].data["reply"]["content"]["text"] == AFTER

                told = called.result(60)
                assert told[-1].turn().reply is not None
                kinds = [event.kind for event in told if event.kind in ("delta", "reset")]
                assert kinds.count("reset") == 1
                whole = "".join(event.data["text"] for event in told[_reset_at(told) :] if event.kind == "delta")
                assert whole in (AFTER, "")

                a2a.resume(api, "GET", f"/a2a/v1/tasks/{turn}:subscribe")
                assert a2a_text(a2a.frames) == AFTER

                agui.resume(api)
                check_order([frame.data for frame in agui.frames])
                assert agui.frames[-1].data["outcome"] == {"type": "success"}
                first, last = agui_texts(agui.frames)
                assert BEFORE.startswith(first)
                assert last == AFTER
        finally:
            stop_server(process)


def _is_over(api: httpx.Client, turn: str) -> bool:
    with suppress(httpx.TransportError):
        return api.get(f"/v1/executions/{turn}").json()["state"] == "completed"
    return False


def _reset_at(told: list[Any]) -> int:
    return next(number for number, event in enumerate(told) if event.kind == "reset")
