"""How much memory this process has held."""

import resource
import sys
from pathlib import Path


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, in GiB.

    Read from Linux's own account where there is one: `getrusage` would count what the parent held at the
    moment when it started this process.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20
    except (OSError, IndexError):
        unit = 2**30 if sys.platform == "darwin" else 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
