"""Scenario 3 of the requirements, as `make audit` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[2] / "examples" / "audit.py"


@pytest.mark.requirement("SEC-3")
@pytest.mark.slow
def test_every_attack_of_the_audit_is_contained_and_told() -> None:
    run = subprocess.run([sys.executable, str(AUDIT)], capture_output=True, text=True, timeout=170, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert "NOT CONTAINED" not in run.stdout
    assert "27 of 27 contained and told." in run.stdout
