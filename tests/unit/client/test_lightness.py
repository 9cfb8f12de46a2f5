"""The client loads nothing of a server, and a server nothing of the protocols that nobody has spoken yet."""

import json
import subprocess
import sys

import pytest

FORBIDDEN = frozenset(
    [
        "temporalio",
        "lancedb",
        "lance",
        "pyarrow",
        "wasmtime",
        "fastapi",
        "starlette",
        "uvicorn",
        "sqlalchemy",
        "alembic",
        "onnxruntime",
        "tokenizers",
        "numpy",
        "openai",
        "anthropic",
        "pydantic_ai",
        "mcp",
        "jinja2",
        "typer",
    ]
)
SERVER = frozenset({"api", "service", "runtime", "adapters", "turns", "workflows", "activities", "cli", "definitions"})


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.requirement("FAC-5")
def test_the_client_loads_nothing_of_a_server() -> None:
    loaded = loaded_by("from caxton.client import AsyncCaxton, Caxton; Caxton(url='http://127.0.0.1:9')")
    assert "caxton.client.sync_client" in loaded
    assert {name.partition(".")[0] for name in loaded} & FORBIDDEN == set()
    own = {name.split(".")[1] for name in loaded if name.startswith("caxton.")}
    assert own & SERVER == set()


@pytest.mark.requirement("FAC-5")
def test_one_of_the_two_clients_does_not_load_the_other() -> None:
    assert "caxton.client.async_client" not in loaded_by("from caxton.client import Caxton")
    assert loaded_by("import caxton.client") & {"httpx", "pydantic"} == set(), "the name alone costs nothing"


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-2")
@pytest.mark.requirement("FAC-3")
@pytest.mark.requirement("FAC-7")
def test_a_server_loads_a_protocol_with_the_first_request_that_speaks_it() -> None:
    loaded = loaded_by("import caxton.runtime.server, caxton.api.app; caxton.api.app.build_api()")
    faces = ("caxton.api.openai_face.", "caxton.api.mcp_face.", "caxton.api.a2a_face.", "caxton.api.agui.")
    assert {name for name in loaded if name.startswith(faces) and not name.endswith(".errors")} == set()
    assert {name.partition(".")[0] for name in loaded} & {"mcp", "mcp_types", "a2a", "openai", "ag_ui"} == set()
