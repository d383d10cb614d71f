"""What runs cost on a machine rented by the hour, from what their records logged.

A rented machine is billed from start to end, so a run costs its wall time; device seconds (during which a
GPU worked) say how much of that the GPU was needed for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from earthsignals.dvcfiles import cache_folder
from earthsignals.tracking.plain import one_line, seconds
from earthsignals.tracking.trace.known_runs import KnownRun, workspace_runs


@dataclass(frozen=True)
class Plan:
    """A way of working and what the methane course's outline expects of it, as (lowest, highest)."""

    name: str
    gpu_hours: tuple[float, float]
    usd: tuple[float, float]


COURSE = {
    "everything": Plan("everything on the droplet", (10, 20), (20, 40)),
    "hybrid": Plan("hybrid: training alone on the droplet", (2, 4), (4, 8)),
}
"""The course's table; its two columns imply 2 USD an hour."""


@dataclass(frozen=True)
class RunCost:
    """One logged run: hours of wall time and of the device at work (None: unknown), and where it ran."""

    stage: str
    pipeline: str
    kind: str
    device: str
    wall_hours: float | None
    device_hours: float | None

    def usd(self, price_per_hour: float) -> float | None:
        """Price of the wall time, at USD an hour."""
        return None if self.wall_hours is None else self.wall_hours * price_per_hour


@dataclass(frozen=True)
class Snapshot:
    """What a stopped machine's snapshot holds of this project, in GB of 10⁹ bytes."""

    data_gb: float
    environment_gb: float

    def usd_per_month(self, usd_per_gb_month: float) -> float:
        """Price of keeping it for a month."""
        return (self.data_gb + self.environment_gb) * usd_per_gb_month


def run_costs(root: Path, pipeline: str | None = None) -> tuple[list[RunCost], list[str]]:
    """The runs of `reports/*/runs/*.json`, of one pipeline or all, and a sentence per unreadable record."""
    runs, faults = workspace_runs(root)
    wanted = [run for run in runs if pipeline in (None, run.pipeline)]
    return [_cost(run) for run in wanted], faults


def snapshot(root: Path, environment: Path) -> Snapshot:
    """Measure what DVC's cache and the Python environment take on disk; hard links count once."""
    seen: set[tuple[int, int]] = set()
    return Snapshot(_gigabytes(cache_folder(root), seen), _gigabytes(environment, seen))


def _cost(run: KnownRun) -> RunCost:
    device = run.tags.get("device.name") or run.tags.get("machine.cpu", "")
    return RunCost(
        one_line(run.stage), run.pipeline, one_line(run.tags.get("kind", "stage")), one_line(device),
        _hours(run, "wall_seconds"), _hours(run, "device_seconds"),
    )  # fmt: skip


def _hours(run: KnownRun, tag: str) -> float | None:
    told = seconds(run.tags.get(tag))
    return None if told is None else told / 3600


def _gigabytes(folder: Path, seen: set[tuple[int, int]]) -> float:
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(here, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total / 1e9
