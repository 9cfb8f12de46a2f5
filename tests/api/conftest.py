"""Deploying into the test's own workspace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deploying import deploy_files

Deploy = Callable[..., dict[str, Any]]


@pytest.fixture
def deploy(api: httpx.Client, tmp_path: Path) -> Deploy:
    """Writes and deploys files into the test's workspace."""

    def run(files: dict[str, str | bytes], **options: Any) -> dict[str, Any]:
        return deploy_files(api, tmp_path / "workspace", files, **options)

    return run
