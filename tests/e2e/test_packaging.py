"""What is shipped: the wheel carries all that it needs, the container files say what they should."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml

from caxton.runtime.engine import SEARCH_ATTRIBUTE_NAMES
from caxton.workflows.names import SEARCH_ATTRIBUTES
from tests.conftest import stop_server

pytestmark = pytest.mark.xdist_group("packaging")  # one worker makes what they share

ROOT = Path(__file__).resolve().parents[2]


LIGHT = 60
"""MB that the command line and the Python client may weigh, with all that they need."""


def build(folder: Path, source: Path) -> Path:
    """The wheel of `source`."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), ROOT)


@pytest.fixture
def environment() -> dict[str, str]:
    """Without what the tests themselves run in."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CAXTON_", "PYTHON"))}


def install(folder: Path, requirement: str, environment: dict[str, str]) -> Path:
    """Installs `requirement` into a new environment, and returns its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, env=environment)
    started = time.monotonic()
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    subprocess.run(pip, check=True, env=environment)
    print(f"{requirement}: installed in {time.monotonic() - started:.0f} s, {weight(folder):.0f} MB")
    return folder / "bin"


def weight(environment: Path) -> float:
    """MB of the files of all packages in an environment, other than pip and what comes with it."""
    own = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
    [packages] = environment.glob("lib/python*/site-packages")
    files = (path for path in packages.rglob("*") if path.is_file())
    counted = [path for path in files if path.relative_to(packages).parts[0].partition("-")[0] not in own]
    programs = [path for path in (environment / "bin").iterdir() if not path.is_symlink()]
    return sum(path.stat().st_size for path in [*counted, *programs]) / 1e6


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_line_and_the_client_are_light(tmp_path: Path, wheel: Path, environment: dict[str, str]) -> None:
    programs = install(tmp_path / "venv", str(wheel), environment)
    assert weight(tmp_path / "venv") < LIGHT
    folder = tmp_path / "shop"
    folder.mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [programs / "caxton", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr
        return done

    assert run("init", "data-analyzer", "--template", "data-analyzer", "--yes").returncode == 0
    assert "no errors" in run("validate").stdout
    refused = run("serve")
    assert refused.returncode == 5
    assert f"pip install '{wheel}[server]'" in refused.stderr.replace("\n", " ")
    client = "from caxton.client import AsyncCaxton, Caxton; Caxton(url='http://127.0.0.1:9')"
    subprocess.run([programs / "python", "-c", client], check=True, env=environment, cwd=folder)


@pytest.mark.requirement("ONB-1")
@pytest.mark.requirement("ONB-6")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_does_the_main_job_in_an_empty_environment(
    tmp_path: Path, wheel: Path, environment: dict[str, str]
) -> None:
    caxton = install(tmp_path / "venv", f"{wheel}[server]", environment) / "caxton"
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

        def run(*arguments: str, code: int = 0) -> str:
            done = subprocess.run([caxton, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout + done.stderr

        run("init", "data-fetcher", "--template", "data-fetcher", "--yes")
        run("init", "data-analyzer", "--template", "data-analyzer", "--yes")
        run("deploy")
        answer = json.loads(run("ask", "fetch-data", "How did sales develop?", "--json"))
        assert "60.0 %" in answer["reply"]["content"]["text"]
        assert answer["reply"]["metadata"]["scripted"] is True
        assert list(folder.glob("*.svg"))
        # Memory is an extra of its own: agents go on without it, and everybody says so.
        assert "agents have no memory here, for it is not installed" in (tmp_path / "serve.log").read_text()
        assert re.search(r"memory +not installed", run("health"))
        assert "pip install 'caxton[memory]'" in run("memory", "list", code=5)
    finally:
        stop_server(server)


def test_the_model_of_the_memory_is_a_package_of_its_own(tmp_path: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as light:
        assert not [name for name in light.namelist() if "minilm" in name.lower() and name.endswith(".onnx")]
        assert sum(file.file_size for file in light.infolist()) < 8e6
    with zipfile.ZipFile(build(tmp_path, ROOT / "caxton_minilm")) as model:
        files = {"__init__.py", "all-MiniLM-L6-v2-int8.onnx", "tokenizer.json", "PROVENANCE.md"}
        assert {f"caxton_minilm/{name}" for name in files} <= set(model.namelist())
        assert [name for name in model.namelist() if name.endswith("licenses/LICENSE")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_in_a_checkout_pip_takes_the_model_from_there(tmp_path: Path, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=environment)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", ".[all]"]
    done = subprocess.run(pip, check=True, env=environment, cwd=ROOT, capture_output=True, text=True)
    found = {each["metadata"]["name"]: each["download_info"]["url"] for each in json.loads(done.stdout)["install"]}
    assert found["caxton-minilm"] == (ROOT / "caxton_minilm").as_uri()
    assert {"lancedb", "onnxruntime", "temporalio", "qdrant-client"} <= set(found)


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
