"""The soak benchmark in small: killed twice, one answer in ten wrong."""

import subprocess
import sys

from tests.conftest import ROOT


def test_a_small_soak_ends_equal() -> None:
    small = ["--records", "3000", "--repositories", "30", "--kills", "2", "--faults", "0.1"]
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", *small], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal, every row of every table" in done.stdout
    assert "0 problems that the doctor finds" in done.stdout
    assert "model                  3,000 rows" in done.stdout
