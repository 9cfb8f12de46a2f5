"""`make demo`: from an empty folder to two agents that draw a chart together, in front of your eyes.

It runs the commands that you would type, on a fresh data folder, without network and without a model: the agents' scripts
answer (and say so). With a model configured, the same agents use that.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAXTON = [sys.executable, "-m", "caxton"]
QUESTION = "How did sales develop this year?"
LATER = "What did you find out about sales earlier?"


def main() -> int:
    """Runs the demo; the exit code tells whether it worked."""
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="caxton-demo-"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")},
        "CAXTON_DATA_DIR": str(folder / "data"),
        "CAXTON_PORT": "0",
        "CAXTON_METRICS_PORT": "0",
        "CAXTON_ENGINE__UI_PORT": "0",
    }
    print(f"# A fresh folder: {folder}\n$ caxton serve &", flush=True)
    server = subprocess.Popen([*CAXTON, "serve"], cwd=folder, env=environment)
    try:
        wait_until_ready(server, folder)
        demo = Demo(folder, environment)
        demo.say(
            "Two agents from templates. They bring the tools that they need: WebAssembly modules, run in sandboxes."
        )
        demo.run("init", "data-fetcher", "--template", "data-fetcher", "--yes")
        demo.run("init", "data-analyzer", "--template", "data-analyzer", "--yes")
        demo.say("One command brings all of it to the server, or nothing.")
        demo.run("deploy")
        demo.say("Ask for a capability; who does it is the router's business.")
        demo.run("ask", "fetch-data", QUESTION)
        charts = sorted(folder.glob("*.svg"))
        if not charts:
            print("error: the demo drew no chart", file=sys.stderr)
            return 1
        demo.say("What happened, from the event log:")
        demo.run("trace", demo.last_execution())
        demo.say("The analyzer remembers what it found: another conversation, a moment later.")
        demo.wait_for_a_memory()
        demo.run("ask", "analyze-data", LATER)
        shown = Path.cwd() / charts[0].name
        shutil.copy(charts[0], shown)
        took = time.perf_counter() - started
    except subprocess.CalledProcessError as error:
        print(f"error: `caxton {' '.join(error.cmd[3:])}` ended with exit code {error.returncode}", file=sys.stderr)
        return 1
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
    print(f"\nThe chart: {shown}")
    print(f"Done in {took:.1f} s, from an empty folder.\n")
    print("Next, go on where the demo stopped (nothing was lost), or do it in a folder of your own:")
    print(f"  export PATH={Path(sys.executable).parent}:$PATH CAXTON_DATA_DIR={folder}/data")
    print(f"  cd {folder}")
    print("  caxton serve                # in one terminal")
    print("  caxton chat fetch-data      # in another; or: caxton init, caxton deploy, caxton --help")
    return 0


class Demo:
    """Runs commands as a user would, and shows them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def say(self, text: str) -> None:
        """A word between commands."""
        print(f"\n# {text}", flush=True)

    def run(self, *arguments: str) -> None:
        """Shows and runs a command."""
        words = [word if " " not in word else f'"{word}"' for word in arguments]
        print(f"$ caxton {' '.join(words)}", flush=True)
        subprocess.run([*CAXTON, *arguments], cwd=self.folder, env=self.environment, check=True)

    def last_execution(self) -> str:
        """The turn that was just asked for."""
        command = [*CAXTON, "conversation", "list", "--json"]
        listed = subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True)
        conversation = json.loads(listed.stdout)["conversations"][0]["id"]
        command = [*CAXTON, "conversation", "show", conversation, "--json"]
        shown = subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True)
        return str(json.loads(shown.stdout)["messages"][-1]["execution_id"])

    def wait_for_a_memory(self) -> None:
        """Replies are remembered after they went out: usually within a second."""
        command = [*CAXTON, "memory", "list", "--scope", "agent:data-analyzer", "--json"]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            listed = subprocess.run(command, cwd=self.folder, env=self.environment, check=True, capture_output=True)
            if json.loads(listed.stdout)["memories"]:
                return
            time.sleep(0.2)


def wait_until_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits for the server's announcement."""
    deadline = time.monotonic() + 60
    while not (folder / "data" / "server.json").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("error: the server did not start")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
