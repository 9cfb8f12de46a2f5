"""Deploying into the test's own workspace."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer
from tests.support.deploying import deploy_files
from tests.support.mcp_tools import ServerFolder

Deploy = Callable[..., dict[str, Any]]


@pytest.fixture
def deploy(api: httpx.Client, tmp_path: Path) -> Deploy:
    """Writes and deploys files into the test's workspace."""

    def run(files: dict[str, str | bytes], **options: Any) -> dict[str, Any]:
        return deploy_files(api, tmp_path / "workspace", files, **options)

    return run


@pytest.fixture
def use(caxton_server: RunningServer, workspace: str) -> Callable[..., Any]:
    """Runs some work with an MCP client, in the test's workspace."""

    def run(work: Any, mode: str = "auto", **options: Any) -> Any:
        from tests.support.mcp_client import with_sdk

        return with_sdk(caxton_server, workspace, work, mode, **options)

    return run


@pytest.fixture
def raw(api: httpx.Client) -> Any:
    """Sends messages of MCP as they are given."""
    from tests.support.mcp_client import Raw

    return Raw(api)


def new_key(api: httpx.Client, role: str, **more: Any) -> str:
    """A key with a role."""
    made = api.post("/v1/keys", json={"name": f"{role}-key", "role": role, **more})
    assert made.status_code == 201, made.text
    return made.json()["key"]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerFolder, str]]:
    """A tool server outside of Caxton, which notes each call that reaches it; and its origin."""
    folder = ServerFolder(tmp_path_factory.mktemp("outside"))
    with folder.over_http() as origin:
        yield folder, origin
