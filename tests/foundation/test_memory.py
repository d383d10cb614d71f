"""The memory a process reports is its own."""

import subprocess
import sys

import numpy as np

ASK = "from earthsignals.compute.memory import peak_memory_gb; print(peak_memory_gb())"


def peak_of(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_a_child_does_not_report_what_its_parent_holds() -> None:
    """`ru_maxrss` of a fresh child is the parent's resident size: this test's 0.5 GiB would show."""
    held = np.ones(2**26)
    child = peak_of(ASK)
    assert held.nbytes / 2**30 == 0.5
    assert 0.001 < child < 0.3


def test_the_peak_outlasts_the_array() -> None:
    assert 0.5 < peak_of("import numpy; numpy.ones(2**26); " + ASK) < 1.0
