"""System metrics of a training run: processor, memory and GPU, sampled in the background."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

_FIRST_INTERVAL = 0.5
_LONGEST_INTERVAL = 15.0


class SystemSampler:
    """Logs ``system/…`` metrics from a thread, often at first, every 15 s later.

    The interval grows by half each time: a training of seconds has a few samples, one of a day
    has 6,000. The names are those of MLflow's own monitor, which its page of system metrics shows.
    """

    def __init__(self, log_metrics: Callable[[dict[str, float], int], None]) -> None:
        self._log_metrics = log_metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Take the first sample and begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end; may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _loop(self) -> None:
        import psutil

        process = psutil.Process()
        psutil.cpu_percent()  # the first call only sets the reference
        interval, step = _FIRST_INTERVAL, 0
        while True:
            stopped = self._stop.wait(interval)
            self._log_metrics(_sample(psutil, process), step)
            if stopped:
                return
            step += 1
            interval = min(interval * 1.5, _LONGEST_INTERVAL)


def _sample(psutil: Any, process: Any) -> dict[str, float]:
    memory = psutil.virtual_memory()
    values = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": process.memory_info().rss / 1e6,
    }
    return values | _gpu_sample()


def _gpu_sample() -> dict[str, float]:
    """GPU memory, and utilisation where the driver's library is installed; never starts CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    values = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        used = (total - free) / 1e6
        values[f"system/gpu_{index}_memory_usage_megabytes"] = used
        try:
            values[f"system/gpu_{index}_utilization_percentage"] = torch.cuda.utilization(index)
        except Exception:  # needs a library of the vendor's, which is optional
            continue
    return values
