"""One saliency map in a process of its own, which may be killed: for tests of resume and of memory.

    python saliency_job.py FLIGHTLINE MODEL OUT ROWS KILL_AFTER

Maps in strips of ROWS lines (0: as the program chooses) and kills itself without warning once KILL_AFTER
strips are written (0: never). Ends with a line of JSON: peak memory in MB.
"""

import json
import os
import signal
import sys

import torch

from earthsignals.compute.memory import peak_memory_gb
from earthsignals.plume.checkpoint import load_model
from earthsignals.plume.predict import saliency
from earthsignals.plume.saliency import partial


def main() -> None:
    flightline, model, out, rows, kill_after = sys.argv[1:]
    torch.set_num_threads(1)
    write, written = partial.PartialMap.write, 0

    def write_and_die(self, number, values) -> None:
        nonlocal written
        write(self, number, values)
        written += 1
        if written == int(kill_after):
            os.kill(os.getpid(), signal.SIGKILL)

    partial.PartialMap.write = write_and_die
    partial._JOURNAL_SECONDS = 0.0
    block = (int(rows), 4096) if int(rows) else None
    saliency(flightline, load_model(model), out, devices=[-1], block=block)
    print(json.dumps({"peak_mb": 1024 * peak_memory_gb()}))


if __name__ == "__main__":
    main()
