"""`make audit`: scenario 3 of the requirements, on a server of its own, with a report for people."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.requirement("SEC-3", "SEC-2", "MEM-3", "TOL-4", "TOL-5", "TOL-12")
def test_every_attack_of_the_audit_is_contained_and_told() -> None:
    environment = {**os.environ, "AUDIT_PATIENCE": "30"}  # the machine has other tests to run
    done = subprocess.run(
        [sys.executable, "examples/audit.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    found = re.search(r"^(\d+) of (\d+) contained and told", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert found[1] == found[2]
    assert int(found[2]) >= 25
    for part in ("malicious tool", "restricted permissions", "Other customers", "Exhaustion", "event log"):
        assert part in done.stdout, "all steps of the scenario"
