"""An agent whose component does what its requests say: tests/fixtures/wasm/src/agent.c."""

import httpx

from tests.support.bench import WASM

AGENT = WASM / "agent.wasm"


def wasm_agent(name: str = "clerk", more: str = "", wasm: str = "") -> dict[str, str | bytes]:
    """The agent, which offers a capability of its name; `more` goes to the top of its file, `wasm` into the table [wasm]."""
    definition = f'name = "{name}"\nversion = "1.0.0"\nkind = "wasm"\ncapabilities = ["{name}"]\n{more}\n'
    return {
        f"agents/{name}.toml": f'{definition}\n[wasm]\nmodule = "{name}.wasm"\n{wasm}\n',
        f"agents/{name}.wasm": AGENT.read_bytes(),
    }


def ask(api: httpx.Client, content: str, capability: str = "clerk") -> httpx.Response:
    """What a request on its own comes to."""
    return api.post("/v1/messages", json={"capability": capability, "content": content})


def said(answer: httpx.Response) -> str:
    """The text of the reply in `answer`."""
    assert answer.status_code == 200, answer.text
    return answer.json()["reply"]["content"]["text"]
