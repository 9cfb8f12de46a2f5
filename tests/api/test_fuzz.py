"""Whatever is sent, by whomever: no fault of the server, no answer that the description does not have, nothing without a key.

The same for longer, on a server of its own: `make fuzz`.
"""

import json
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.fuzz.run import NOBODY, PHASES, ROLES, STATEFUL, customer, fuzz, key_of, links_followed, prepare

pytestmark = pytest.mark.xdist_group("fuzz")  # one address may send only so many wrong keys

FULL = ("admin",)
"""Who reaches everything; the others mostly learn that they may not."""


@pytest.mark.requirement("SEC-1")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ROLES)
def test_any_request_is_answered_as_described(
    caxton_server: RunningServer, workspace: str, tmp_path: Path, role: str
) -> None:
    with caxton_server.client() as admin:
        boss = customer(admin)
    with caxton_server.client(workspace, key=boss) as api:
        known = prepare(api, tmp_path / "workspace")
        description = tmp_path / "openapi.json"
        description.write_text(json.dumps(api.get("/openapi.json").json()))
        key = key_of(api, role)
    phases = (
        [each for each in PHASES if each != STATEFUL]
        if role in FULL
        else ("fuzzing",)
        if role != NOBODY
        else ("coverage",)
    )
    done = fuzz(
        caxton_server.url,
        description,
        key=key,
        workspace=workspace,
        known=known,
        phases=phases,
        examples=1,
        tries_keys=role in FULL,  # who reaches everything tries them everywhere
    )
    print(done.stdout)  # how many cases of each phase, and how long they took
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "passed" in done.stdout


@pytest.mark.requirement("SEC-1")
@pytest.mark.timeout(300)
def test_what_was_answered_is_used_in_the_next_request(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    with caxton_server.client() as admin:
        boss = customer(admin)
    with caxton_server.client(workspace, key=boss) as api:
        known = prepare(api, tmp_path / "workspace")
        description = tmp_path / "openapi.json"
        description.write_text(json.dumps(api.get("/openapi.json").json()))
    followed = 0
    for seed in range(1, 5):  # which requests come first is chance, and some are followed by none
        done = fuzz(
            caxton_server.url,
            description,
            key=boss,
            workspace=workspace,
            known=known,
            phases=[STATEFUL],
            examples=5,
            mode="positive",
            seed=seed,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
        followed += links_followed(done)
        if followed:
            break
    assert followed > 0, done.stdout
