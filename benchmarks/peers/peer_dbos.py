"""DBOS on its SQLite system database: one workflow per turn with one step; the conversation's
history in its own table (a second SQLite file, WAL, synchronous=FULL), written in the step and
keyed by the workflow's id, so that a recovered workflow does not answer twice."""

import asyncio
import os
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor

import common
from dbos import DBOS, SetWorkflowID


class History:
    """One writer thread, one connection."""

    def __init__(self, path):
        self.pool = ThreadPoolExecutor(1)
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS turns (seq INTEGER PRIMARY KEY, conv INTEGER NOT NULL,"
            " wf TEXT NOT NULL UNIQUE, user TEXT NOT NULL, reply TEXT NOT NULL)"
        )
        self.db.execute("CREATE INDEX IF NOT EXISTS turns_conv ON turns (conv, seq)")

    def _answer(self, conv, wf, text):
        row = self.db.execute("SELECT reply FROM turns WHERE wf = ?", (wf,)).fetchone()
        if row:
            return row[0]
        past = self.db.execute(
            "SELECT user, reply FROM turns WHERE conv = ? ORDER BY seq DESC LIMIT ?", (conv, common.WINDOW // 2)
        ).fetchall()
        reply = common.scripted(text, 2 * len(past))  # the scripted model
        self.db.execute("INSERT INTO turns (conv, wf, user, reply) VALUES (?, ?, ?, ?)", (conv, wf, text, reply))
        return reply

    async def answer(self, *a):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._answer, *a)


history: History


@DBOS.step()
async def answer(conv: int, wf: str, text: str) -> str:
    return await history.answer(conv, wf, text)


@DBOS.workflow()
async def turn(conv: int, text: str) -> str:
    return await answer(conv, DBOS.workflow_id, text)


class Dbos(common.Peer):
    name = "dbos"
    in_process = True
    dists = ("dbos", "sqlalchemy")
    notes = "in-process call of an async workflow, no network hop; stock SQLite system database"

    def __init__(self, data, a):
        super().__init__(data)

    async def start(self, conversations, fresh):
        global history
        history = History(str(self.data / "history.sqlite"))
        if os.environ.get("PEERS_DBOS_WAL"):  # not stock: the journal mode is kept in the file
            db = sqlite3.connect(self.data / "dbos.sqlite")
            db.execute("PRAGMA journal_mode=WAL")
            db.close()
        DBOS(
            config={
                "name": "peer",
                "system_database_url": f"sqlite:///{self.data}/dbos.sqlite",
                "log_level": "ERROR",
                "console_log_level": "ERROR",
                "application_version": "1",
            }
        )
        DBOS.launch()

    async def turn(self, conv, text):
        with SetWorkflowID(uuid.uuid4().hex):
            return await turn(conv, text)

    async def replies(self, conv):
        # the reply counts as stored when the table has it and the workflow is recorded as finished
        db = sqlite3.connect(self.data / "dbos.sqlite")
        out = []
        for wf, reply in history.db.execute("SELECT wf, reply FROM turns WHERE conv = ? ORDER BY seq", (conv,)):
            st = db.execute("SELECT status FROM workflow_status WHERE workflow_uuid = ?", (wf,)).fetchone()
            if st and st[0] == "SUCCESS":
                out.append(reply)
        return out

    async def stop(self):
        await asyncio.to_thread(DBOS.destroy)


if __name__ == "__main__":
    common.main(Dbos)
