"""Caxton beside its peers, on the same work in the same run (benchmarks/peers/README.md says what each of them does).

Peers need environments of their own, which the first run makes; where that fails, the figures of the others are told.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import Figure

HERE = Path(__file__).parent
SYSTEMS = ("caxton", "caxton-full", "pydantic-ai-temporal", "langgraph", "dbos")
TIMES_OF = {"pydantic-ai-temporal": 8.0, "langgraph": 1.0, "dbos": 1.0}
"""How many times as many turns a second as each of these Caxton is to do."""


def figures(seconds: float = 5.0, rounds: int = 1, systems: tuple[str, ...] = SYSTEMS) -> list[Figure]:
    """Turns of conversations a second: ten conversations at once, and a hundred.

    Args:
        seconds: of each measurement, besides its warm-up.
        rounds: medians of so many are told.
        systems: which.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peers.json"
        command = [sys.executable, str(HERE / "peers" / "run_peers.py"), "--only", *systems, "--out", str(out)]
        command += ["--seconds", str(seconds), "--rounds", str(rounds)]
        uv = HERE.parent / ".uv" / "bin" / "uv"
        subprocess.run([*command, *(["--uv", str(uv)] if uv.exists() else [])], check=False)
        rows: list[dict[str, Any]] = json.loads(out.read_text())["rows"] if out.exists() else []
    found: list[Figure] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        rates = {row["name"]: row["turns_per_s"] for row in rows if row["case"] == case and row["turns_per_s"]}
        found += [Figure(f"{case}: {name}", rate, "turns/s") for name, rate in rates.items()]
        for name, times in TIMES_OF.items():
            if "caxton" in rates and name in rates:
                ratio = rates["caxton"] / rates[name]
                found.append(Figure(f"{case}: Caxton against {name}", ratio, "times", times, higher_is_better=True))
    return found
