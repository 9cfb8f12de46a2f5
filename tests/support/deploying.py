"""Deploying to a server through its REST API, as the command line does."""

from pathlib import Path
from typing import Any

import httpx

from caxton.definitions.workspace import load_workspace

ECHO = {
    "agents/echo.toml": """
name = "echo"
version = "1.0.0"
capabilities = ["echo"]
model = "scripted"
script = "echo.script.toml"
""",
    "agents/echo.script.toml": """
[[rules]]
[[rules.steps]]
reply = "you said: {{ request }}"
""",
}


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes `files` below `folder`, with a caxton.toml if there is none."""
    for name, content in {"caxton.toml": "", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def deploy_folder(client: httpx.Client, folder: Path, **options: Any) -> httpx.Response:
    """Deploys the workspace in `folder`: plan, upload what is missing, deploy."""
    workspace = load_workspace(folder)
    assert not workspace.errors, workspace.errors
    body = {"bundles": [bundle.model_dump() for bundle in workspace.bundles], **options}
    plan = client.post("/v1/deployments/plan", json=body)
    plan.raise_for_status()
    for digest in plan.json()["missing"]:
        client.put(f"/v1/blobs/{digest}", content=workspace.content(digest)).raise_for_status()
    return client.post("/v1/deployments", json=body)


def deploy_files(client: httpx.Client, folder: Path, files: dict[str, str | bytes], **options: Any) -> dict[str, Any]:
    """Writes and deploys `files`; fails the test when that fails."""
    response = deploy_folder(client, write_files(folder, files), **options)
    assert response.status_code == 201, response.text
    return response.json()
