"""Agno: AgentOS over HTTP (uvicorn, one process), SqliteDb, a fake model; a session per conversation."""

import sys

import common

AGENT = "peer"


def serve(port: int, data: str) -> None:
    import os

    os.environ["AGNO_TELEMETRY"] = "false"
    import uvicorn
    from agno.agent import Agent
    from agno.db.sqlite import SqliteDb
    from agno.models.base import Model
    from agno.models.response import ModelResponse
    from agno.os import AgentOS

    class Scripted(Model):
        def _answer(self, messages):
            talk = [m for m in messages if m.role in ("user", "assistant")]
            if talk and talk[-1].role == "assistant":  # the placeholder that agno appends for the answer
                talk = talk[:-1]
            return ModelResponse(
                role="assistant", content=common.scripted(talk[-1].get_content_string(), len(talk) - 1)
            )

        def invoke(self, messages, *a, **kw):
            return self._answer(messages)

        async def ainvoke(self, messages, *a, **kw):
            return self._answer(messages)

        def invoke_stream(self, messages, *a, **kw):
            yield self._answer(messages)

        async def ainvoke_stream(self, messages, *a, **kw):
            yield self._answer(messages)

        def _parse_provider_response(self, response, **kw):
            return response

        def _parse_provider_response_delta(self, response):
            return response

    db = SqliteDb(db_file=f"{data}/agno.sqlite")
    agent = Agent(
        id=AGENT,
        name=AGENT,
        model=Scripted(id="scripted"),
        db=db,
        telemetry=False,
        add_history_to_context=True,
        num_history_runs=common.WINDOW // 2,
    )
    app = AgentOS(agents=[agent], telemetry=False).get_app()
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


class Agno(common.Peer):
    name = "agno"
    dists = ("agno", "fastapi", "uvicorn", "sqlalchemy")
    notes = "AgentOS over HTTP, one uvicorn process, non-streaming runs; client in another process"

    def __init__(self, data, a):
        super().__init__(data)

    async def start(self, conversations, fresh):
        import asyncio

        import httpx

        port = common.free_port()
        p = self.spawn(
            [sys.executable, str(common.HERE / "peer_agno.py"), "--role", "server", str(port), str(self.data)],
            "server.log",
        )
        await asyncio.to_thread(common.wait_port, port, p)
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            timeout=60,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    async def turn(self, conv, text):
        r = await self.http.post(
            f"/agents/{AGENT}/runs", data={"message": text, "stream": "false", "session_id": f"c{conv}", "user_id": "u"}
        )
        r.raise_for_status()
        return r.json()["content"]

    async def replies(self, conv):
        r = await self.http.get(f"/sessions/c{conv}/runs", params={"type": "agent", "user_id": "u"})
        r.raise_for_status()
        return [x["content"] for x in r.json() if x.get("status", "COMPLETED") == "COMPLETED"]

    async def stop(self):
        await self.http.aclose()


if __name__ == "__main__":
    if "--role" in sys.argv:
        i = sys.argv.index("--role")
        serve(int(sys.argv[i + 2]), sys.argv[i + 3])
    else:
        common.main(Agno)
