"""How stages run on this machine: workers, device, precision, price. Never what they compute.

Settings are no DVC parameters: a droplet with a GPU must not retrain what a laptop made. They come
from `settings.yaml` in the project's root (git-ignored; `settings.example.yaml` explains each key)
and from the environment, which wins: `EARTHSIGNALS_WORKERS=8 dvc repro`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from earthsignals.params import ParamsError, Section, read_yaml, validate
from earthsignals.storage import EarthSignalsError, find_project_root, main_project

_PREFIX = "EARTHSIGNALS_"


def cpu_count() -> int:
    """Processors this process may use: its affinity where the system tells, else all."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class Settings(Section):
    """How to execute; each default suits a laptop. A null in the file means the default."""

    workers: int = Field(default_factory=cpu_count, ge=1, le=4096)
    """Processes for simulation and preparation; default: one per processor."""
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|(cuda|rocm)(:\d+)?)$")
    """`auto` takes CUDA or ROCm, then MPS, then the CPU; a named device must be there."""
    devices: int = Field(1, ge=1, le=1024)
    """Ranks of distributed training (DDP) on each machine."""
    nodes: int = Field(1, ge=1, le=4096)
    """Machines of distributed training; more than one needs the launcher `srun`."""
    launcher: Literal["spawn", "srun"] = "spawn"
    """Who starts the ranks: this process, or SLURM's `srun` inside a job."""
    stop_file: Path | None = Field(None, strict=False)
    """When this file appears, a training writes a resume point and leaves; batch jobs name one."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """Arithmetic of training; `auto` is 32-true on the CPU and bf16-mixed where a GPU has it."""
    threads: int = Field(2, ge=1, le=1024)
    """CPU threads of torch: fixed, not the machine's number, since sums depend on it."""
    loader_workers: int = Field(0, ge=0, le=256)
    """Processes that make a training's batches ahead; 0: a thread of the training itself."""
    pin_memory: bool = False
    """Batches in page-locked memory, from which a CUDA device copies while it computes."""
    prefetch_factor: int = Field(2, ge=1, le=64)
    """Batches that each of the loader's processes makes ahead."""
    cluster: str | None = Field(
        None, pattern=r"^((tcp|tls)://[^\s/@]+:\d{1,5}|slurm|sge|pbs|lsf|oar|moab|htcondor)$"
    )
    """Where workers live: a Dask scheduler's address or a batch system; null is this machine."""
    cluster_options: dict[str, Any] = Field(default_factory=dict)
    """What dask-jobqueue needs for a batch system: cores, memory, queue, walltime, account, …"""
    price_per_hour_usd: float = Field(0.0, ge=0.0)
    """For `cost_usd` in MLflow."""
    snapshot_usd_per_gb_month: float = Field(0.06, ge=0.0)
    """What a stopped droplet's snapshot costs."""
    real_data: Path = Field("../shared/data", strict=False, validate_default=True)
    """Folder of the real data that `make real` evaluates on, seen from the project's root."""
    progress: bool = True
    """Progress of everything that takes over two seconds."""


def load_settings(
    path: str | Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Settings of this project: `path` (default: the root's `settings.yaml`) under the environment.

    A missing file means all defaults. Raises ParamsError for an unknown key or environment variable
    with our prefix, a wrong type or an impossible value, naming file or variable.
    """
    environment = os.environ if environment is None else environment
    if path is None:
        try:
            path = main_project(find_project_root()) / "settings.yaml"
        except EarthSignalsError:  # outside a project there are only defaults and the environment
            path = Path("settings.yaml")
    from_file = read_yaml(path) if Path(path).is_file() else {}
    settings = validate(Settings, _without_nulls(from_file), source=str(path))
    from_environment = {
        name.removeprefix(_PREFIX).lower(): _parse(name, text)
        for name, text in sorted(environment.items())
        if name.startswith(_PREFIX) and text != ""
    }
    if not from_environment:
        return settings
    merged = _without_nulls(from_file) | from_environment
    return validate(Settings, _without_nulls(merged), source=f"environment ({_PREFIX}<KEY>)")


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items() if value is not None}


def _parse(name: str, text: str) -> Any:
    """An environment variable's text read as YAML would: `8`, `true`, `null`, `cuda:1`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        raise ParamsError(f"the environment variable {name} is not readable: `{text}`") from None
    # `cluster: slurm` and the like are text, whatever YAML could make of a longer value.
    return value if isinstance(value, (int, float, bool, str)) or value is None else text
