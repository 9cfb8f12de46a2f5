"""What a server loads, and when: nothing that is not used."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from caxton.adapters.store.migrate import migrate
from caxton.runtime import fast_path_process
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.fast_path_ports import build_fast_path_ports, open_database
from caxton.runtime.fast_path_process import BUSY, FastPathProcess, Load
from caxton.runtime.footprint import without
from caxton.runtime.settings import Settings


def loaded_by(*modules: str) -> set[str]:
    """The first level of what is loaded after `modules` are imported."""
    program = f"import sys, {', '.join(modules)}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


UNUSED = {
    "lancedb",
    "lance",
    "pyarrow",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "qdrant_client",
    "openai",
    "anthropic",
    "pydantic_ai",
    "httpx2",
    "wasmtime",
    "alembic",
    "cryptography",
    "jsonschema_rs",
    "jwt",
    "psycopg",
    "rapidfuzz",
    "jinja2",
}


def test_a_server_loads_no_model_no_memory_and_no_sandbox_before_they_are_used() -> None:
    assert not UNUSED & loaded_by(
        "caxton.runtime.server", "caxton.runtime.wiring", "caxton.runtime.temporal", "caxton.api.app"
    )


def test_the_fast_path_loads_no_engine_and_no_web_framework_either() -> None:
    unused = UNUSED | {"temporalio", "google", "grpc", "fastapi", "starlette", "uvicorn", "httpx", "typer", "rich"}
    assert not unused & loaded_by("caxton.runtime.fast_path_worker")


def test_the_command_line_loads_no_server() -> None:
    unused = UNUSED | {"temporalio", "grpc", "fastapi", "sqlalchemy", "prometheus_client", "opentelemetry", "psutil"}
    assert not unused & loaded_by("caxton.cli.app", "caxton.cli.ask", "caxton.cli.deploy", "caxton.runtime.settings")


def test_a_module_can_be_hidden_from_what_would_load_it() -> None:
    with without("no_such_thing_here"):
        assert "no_such_thing_here" in sys.modules
        with pytest.raises(ImportError):
            __import__("no_such_thing_here")
    assert "no_such_thing_here" not in sys.modules
    with without("json"):
        assert __import__("json").dumps(1) == "1", "what is loaded already stays"


def test_many_requests_within_a_second_are_a_load() -> None:
    load = Load()
    assert load.quiet_for(0.0) > 1e9
    assert not any(load.add(1, number / 2) for number in range(100))
    assert [load.add(1, 100.0) for _ in range(BUSY)] == [False] * (BUSY - 1) + [True]
    assert load.add(1, 100.5)
    assert load.quiet_for(103.5) == 3.0
    assert not load.add(1, 104.0)


@pytest.mark.timeout(60)
async def test_the_process_that_accepts_requests_comes_with_the_load_and_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path_process, "BUSY", 0)
    monkeypatch.setattr(fast_path_process, "QUIET", 4.0)
    settings = Settings(data_dir=tmp_path)
    folder = DataFolder(tmp_path)
    folder.create()
    database = open_database(settings, folder)
    migrate(database)
    database.close()
    ports, close = build_fast_path_ports(settings)
    process = FastPathProcess(settings, ports)
    running = asyncio.create_task(process.run())
    try:
        await asyncio.sleep(0)
        assert not process.is_running
        await process.accept([])
        while not process.is_running:
            await asyncio.sleep(0.02)
        while process.is_running:  # it ends by itself
            await asyncio.sleep(0.02)
        await process.accept([])
        while not process.is_running:
            await asyncio.sleep(0.02)
    finally:
        running.cancel()
        process.close()
        close()
