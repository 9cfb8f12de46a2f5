"""Builds the included tools, and the agent of the template `checklist`, from their sources.

    python wasm/build.py [names…]                   build, and record what was built
    python wasm/build.py [names…] --check           compare sources and modules with the record; needs no toolchain
    python wasm/build.py [names…] --rebuild-check   build afresh elsewhere and compare bytes

The toolchain is pinned: Zig by requirements.txt (installed into wasm/.venv), the componentizer by package-lock.json
(installed into wasm/node_modules). Both are installed on the first build. The agent needs Rust 1.63 with its WebAssembly target, as
Debian 12 has it: apt install rustc libstd-rust-dev-wasm32 lld-14
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUNDLED = HERE.parent / "caxton" / "bundled"
WIT = BUNDLED / "wit" / "tool.wit"
TOOLS = BUNDLED / "tools"
RECORD = TOOLS / "built.json"
NAMES = ("chart-generator", "csv-tools", "http-client", "checklist")
AGENT = "checklist"
AGENT_SOURCES = BUNDLED / "agent_starters" / "rust"
AGENT_WIT = BUNDLED / "wit" / "agent.wit"
RUST = "1.63.0"
RUST_OPTIONS = ("--edition", "2021", "--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "-O", "-C", "lto",
                "-C", "panic=abort", "-C", "strip=symbols", "-C", "linker=wasm-ld-14")
ZIG_OPTIONS = ("-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fstrip", "-fno-entry", "-rdynamic")


class BuildError(Exception):
    """What the reader has to know, in one line or a few."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the included WebAssembly tools.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"one or more of {', '.join(NAMES)}; all if left out")
    parser.add_argument("--check", action="store_true", help="compare the tree with the record, without building")
    parser.add_argument("--rebuild-check", action="store_true", help="build afresh and compare bytes")
    options = parser.parse_args()
    names = options.names or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    try:
        if options.check:
            check(names)
        elif options.rebuild_check:
            rebuild_check(names)
        else:
            build_all(names)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build_all(names: list[str]) -> None:
    """Builds tools into caxton/bundled/tools and records their hashes."""
    zig = install_toolchain()
    record = read_record() if RECORD.exists() else {}
    for name in names:
        path = module_path(name)
        build(name, path, zig)
        record[name] = describe(name)
        print(f"built {path.relative_to(HERE.parent)} ({path.stat().st_size:,} bytes)")
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=2) + "\n", encoding="utf-8")


def check(names: list[str]) -> None:
    """Raises a BuildError that names every file that is not as recorded."""
    record = read_record()
    problems: list[str] = []
    for name in names:
        if name not in record:
            problems.append(f"{name} is not in {RECORD.name}")
            continue
        module = module_path(name)
        if not module.exists():
            problems.append(f"{module.relative_to(HERE.parent)} is missing")
        elif sha256(module) != record[name]["sha256"]:
            problems.append(f"{module.relative_to(HERE.parent)} is not the module that was built")
        recorded, present = record[name]["sources"], source_hashes(name)
        for path in sorted(recorded.keys() | present.keys()):
            if path not in present:
                problems.append(f"{path} is missing")
            elif path not in recorded:
                problems.append(f"{path} is new since {name} was built")
            elif recorded[path] != present[path]:
                problems.append(f"{path} has changed since {name} was built")
        if record[name]["toolchain"] != toolchain_versions(name):
            problems.append(f"{name} was built with {record[name]['toolchain']}, pinned is {toolchain_versions(name)}")
    if problems:
        raise BuildError("\n  ".join(["the included tools are stale:", *problems, "hint: python wasm/build.py"]))
    print(f"{len(names)} modules match their sources")


def rebuild_check(names: list[str]) -> None:
    """Raises a BuildError unless a fresh build gives the same bytes."""
    zig = install_toolchain()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            fresh = Path(folder) / f"{name}.wasm"
            build(name, fresh, zig)
            if not module_path(name).exists() or fresh.read_bytes() != module_path(name).read_bytes():
                raise BuildError(f"a fresh build of {name} differs from {module_path(name).relative_to(HERE.parent)}")
            print(f"{name}: same bytes")


def build(name: str, path: Path, zig: list[str]) -> None:
    """Compiles one tool to a core module and makes that a component at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / "core.wasm"
        if name == AGENT:
            run([rust(), *RUST_OPTIONS, "checklist.rs", "-o", str(core)], cwd=AGENT_SOURCES)
            run(["node", "componentize.mjs", str(AGENT_WIT), str(core), str(path), "agent"])
            path.chmod(0o644)
            return
        modules = ["--dep", "tool", f"-Mroot={name}/main.zig", "-Mtool=shared/tool.zig"]
        caches = ["--cache-dir", f"{folder}/cache", "--global-cache-dir", str(HERE / ".zig-cache")]
        run([*zig, "build-exe", *ZIG_OPTIONS, *modules, *caches, f"-femit-bin={core}"])
        run(["node", "componentize.mjs", str(WIT), str(core), str(path)])
    path.chmod(0o644)


def install_toolchain() -> list[str]:
    """Installs what is missing, and returns the command that runs Zig."""
    environment = HERE / ".venv"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = environment / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(environment, with_pip=True, clear=True)
        run([str(python), "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"])
        stamp.write_text(wanted, encoding="utf-8")
    lock = HERE / "package-lock.json"
    installed = HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run(["npm", "ci", "--no-audit", "--no-fund"])
    return [str(python), "-m", "ziglang"]


def rust() -> str:
    """The Rust compiler of the pinned version."""
    for command in (os.environ.get("RUSTC"), "/usr/bin/rustc", "rustc"):
        try:
            told = subprocess.run([command, "--version"], capture_output=True, text=True).stdout if command else ""
        except FileNotFoundError:
            continue
        if command and told.startswith(f"rustc {RUST}"):
            return command
    raise BuildError(f"the agent needs Rust {RUST}: apt install rustc libstd-rust-dev-wasm32 lld-14 on Debian 12, or set RUSTC")


def run(command: list[str], cwd: Path = HERE) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed; building needs Python, Node.js 20 and npm") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"this command failed with status {error.returncode}: {' '.join(command)}") from error


def describe(name: str) -> dict[str, object]:
    return {
        "sha256": sha256(module_path(name)),
        "sources": source_hashes(name),
        "toolchain": toolchain_versions(name),
    }


def source_hashes(name: str) -> dict[str, str]:
    """The hash of every file that goes into a tool's module, by its path in the repository."""
    if name == AGENT:
        files = [*AGENT_SOURCES.glob("*.rs"), AGENT_WIT]
    else:
        files = [path for folder in (HERE / name, HERE / "shared") for path in folder.iterdir() if path.is_file()]
        files.append(WIT)
    files.append(HERE / "componentize.mjs")
    return {path.relative_to(HERE.parent).as_posix(): sha256(path) for path in sorted(files)}


def toolchain_versions(name: str) -> dict[str, str]:
    """The pinned versions, as requirements.txt and package.json give them."""
    requirements = (HERE / "requirements.txt").read_text(encoding="utf-8").split()
    packages = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    compiler = {"rust": RUST} if name == AGENT else dict(line.split("==") for line in requirements)
    return compiler | packages


def read_record() -> dict[str, dict[str, dict[str, str]]]:
    if not RECORD.exists():
        raise BuildError(f"{RECORD.relative_to(HERE.parent)} is missing\n  hint: python wasm/build.py")
    return json.loads(RECORD.read_text(encoding="utf-8"))


def module_path(name: str) -> Path:
    return (BUNDLED / "templates" if name == AGENT else TOOLS) / name / f"{name}.wasm"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
