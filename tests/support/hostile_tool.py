"""The hostile tool server, as files to deploy."""

import json
from pathlib import Path
from typing import Any

import httpx

HOSTILE = Path(__file__).resolve().parents[1] / "fixtures" / "wasm" / "hostile.wasm"


def hostile_tool(name: str = "hostile", *, version: str = "1.0.0", **manifest: Any) -> dict[str, str | bytes]:
    """The files of a hostile tool; `permissions` and `limits` as its tool.toml has them."""
    lines = [f'name = "{name}"', f'version = "{version}"', 'module = "hostile.wasm"', 'form = "component"']
    for table, values in manifest.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    return {f"tools/{name}/tool.toml": "\n".join(lines), f"tools/{name}/hostile.wasm": HOSTILE.read_bytes()}


def call_tool(client: httpx.Client, function: str, *, tool: str = "hostile", **arguments: Any) -> httpx.Response:
    """Calls a function of a tool by hand."""
    return client.post(f"/v1/tools/{tool}/call", json={"function": function, "arguments": arguments})


def text_of(answer: httpx.Response) -> str:
    """The text that a tool answered."""
    assert answer.status_code == 200, answer.text
    return "\n".join(part.get("text", "") for part in answer.json()["content"])


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value)
