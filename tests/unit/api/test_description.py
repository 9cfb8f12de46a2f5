"""The description of the API for programs is the same for all who ask, also for those who ask first at the same moment."""

import subprocess
import sys

ASKED_AT_ONCE = """
import asyncio, sys
from caxton.api.app import build_api

sys.setswitchinterval(0.00005)  # so that threads meet
route = next(each for each in build_api().router.routes if getattr(each, "path", "") == "/openapi.json")

async def main():
    answers = await asyncio.gather(*(route.route.endpoint(None) for _ in range(3)))
    print(len({bytes(answer.body) for answer in answers}))

asyncio.run(main())
"""
"""In a process of its own: FastAPI keeps what it has found out, so only the first of a process can meet."""


def test_several_may_be_the_first_to_ask() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED_AT_ONCE], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
