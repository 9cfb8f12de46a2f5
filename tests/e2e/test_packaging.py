"""What is shipped: the wheel carries all that it needs, the container files say what they should."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from caxton.runtime.engine import SEARCH_ATTRIBUTE_NAMES
from caxton.workflows.names import SEARCH_ATTRIBUTES
from tests.conftest import stop_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.requirement("ONB-1")
@pytest.mark.requirement("ONB-6")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_does_the_main_job_in_an_empty_environment(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("caxton-*.whl"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CAXTON_", "PYTHON"))}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=environment)
    started = time.monotonic()
    install = [tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, check=True, env=environment)
    print(f"installed in {time.monotonic() - started:.0f} s (target: under 60 s)")
    caxton = tmp_path / "venv/bin/caxton"
    folder = tmp_path / "shop"
    folder.mkdir()
    environment |= {"CAXTON_DATA_DIR": str(tmp_path / "data"), "CAXTON_PORT": "0", "CAXTON_METRICS_PORT": "0"}
    environment["PATH"] = "/usr/bin:/bin"  # no `temporal` but the one that was installed along
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen([caxton, "serve"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "data" / "server.json").exists():
            assert server.poll() is None, (tmp_path / "serve.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
            time.sleep(0.1)

        def run(*arguments: str) -> str:
            done = subprocess.run([caxton, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        run("init", "data-fetcher", "--template", "data-fetcher", "--yes")
        run("init", "data-analyzer", "--template", "data-analyzer", "--yes")
        run("deploy")
        answer = json.loads(run("ask", "fetch-data", "How did sales develop?", "--json"))
        assert "60.0 %" in answer["reply"]["content"]["text"]
        assert answer["reply"]["metadata"]["scripted"] is True
        assert list(folder.glob("*.svg"))
    finally:
        stop_server(server)


def test_the_compose_file_fits_the_compose_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(ROOT / "docker-compose.temporal.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_has_all_parts_and_no_password() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.temporal.yml").read_text())
    assert {"postgres", "temporal", "temporal-ui", "api", "worker"} <= set(compose["services"])
    assert compose["services"]["worker"]["command"] == ["worker"]
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "PWD" in name:
                assert value.startswith("${"), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "published to this machine only"


def test_the_engine_knows_the_search_attributes_of_the_workflows() -> None:
    assert tuple(key.name for key in SEARCH_ATTRIBUTES) == SEARCH_ATTRIBUTE_NAMES
