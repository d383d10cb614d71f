"""Training from Python, and on a cluster: thin fronts to the stages' own doors.

    from earthsignals.superdarn.launch import SlurmRun, train

    if __name__ == "__main__":       # several devices start this file anew
        model = train({"embed_dim": 64, "max_epochs": 20}, accelerator="gpu", devices=2)
        job = SlurmRun({"preset": "seed"}, time="24:00:00", partition="gpu", nodes=2, ntasks_per_node=2,
                       gres="gpu:2")

`configuration.py` says which keys a configuration has. What it leaves out comes from the project's
params.yaml, or, outside a project, from the defaults.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.params import apply_scale, load_section, validate
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError, atomic_path, find_project_root
from earthsignals.superdarn.configuration import Configuration, differences, nested, understood
from earthsignals.superdarn.params import SuperdarnParams

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile

STAGE = "superdarn-train"
FOLDER = Path("data/superdarn/launched")
_UPSTREAM = ("source", "s3", "simulation", "gridding", "grid", "split")  # what makes grid.h5 another
_ACCELERATORS = {"auto": "auto", "cpu": "cpu", "gpu": "gpu", "cuda": "cuda", "mps": "mps", "rocm": "rocm"}


def train(
    config: Mapping[str, Any], accelerator: str = "auto", devices: int | str = "auto", *,
    folder: str | Path | None = None,
) -> Path:  # fmt: skip
    """Records, grid and training by a configuration; returns the model's file.

    accelerator: auto, cpu, gpu, cuda, rocm or mps. devices: ranks of distributed training on this machine;
    `auto` takes every GPU, or one where there is none. folder: where everything goes, by default
    data/superdarn/launched of the project; the stages' own files are left alone. Synthetic records and their
    grid are made once for equal parameters. A killed training goes on when called again. In a project the run
    is tracked by MLflow as `superdarn launch`.

    Raises EarthSignalsError, in one sentence, for a configuration or device that cannot be used.
    """
    from earthsignals import tracking
    from earthsignals.superdarn.train import train_forecast
    from earthsignals.training import resume_key

    root = _project()
    chosen = understood(config, _base(root))
    settings = _settings(chosen, accelerator, devices)
    params = chosen.params
    values = params.model_dump(mode="json")
    folder = Path(folder) if folder is not None else (root or Path()) / FOLDER
    out = folder / resume_key(values) / "best_model.pt"
    grid = _grid(params, folder)
    tracked = nullcontext() if root is None else tracking.run(
        "superdarn", "launch", values, settings, kind="training", root=root
    )  # fmt: skip
    with tracked as run:
        out.parent.mkdir(parents=True, exist_ok=True)
        trained = train_forecast(grid, params, settings, out, resume_root=folder / "resume", run=run)
    trained.clear()
    return out


def SlurmRun(  # noqa: N802 - the name that older practice knows
    config: Mapping[str, Any], time: str = "24:00:00", partition: str | None = None, nodes: int = 1,
    ntasks_per_node: int = 1, gres: str | None = None, **more: Any,
) -> int:  # fmt: skip
    """Submit the stage superdarn-train with a configuration; returns the job's number.

    Its values are written to params.yaml (comments stay), as every result's parameters are found there; what
    says how to run goes into the job's environment. The job is the house's own: it survives its time limit,
    and several tasks are ranks of one training. Where the records or their grid are other ones by the
    configuration, the job makes these first. more: further fields of `compute.jobscript.Job`, such as mem.

    Raises EarthSignalsError for a configuration or job that cannot work, and where SLURM refuses; params.yaml
    is then as before.
    """
    from earthsignals.compute.jobscript import Job
    from earthsignals.compute.slurm import submit

    root, number = find_project_root(), None
    base = _base(root)
    chosen = understood(config, base)
    if chosen.fast_dev_run:
        raise EarthSignalsError(
            "the configuration: `fast_dev_run` is for train() alone, since a job's parameters are kept; "
            "leave it out"
        )
    changes = differences(base, chosen.params)
    setup = [f"export EARTHSIGNALS_{key.upper()}={_shell(value)}" for key, value in _checked(chosen).items()]
    if any(key.split(".")[0] in _UPSTREAM for key in changes):
        setup.append("dvc repro superdarn-grid")
    setup += more.pop("setup", ())
    try:
        job = Job(STAGE, time, partition, nodes, ntasks_per_node, gres, setup=tuple(setup), **more)
    except TypeError as error:
        raise EarthSignalsError(f"SlurmRun: {str(error).split('() ')[-1]}, see `Job`") from None
    path = root / "params.yaml"
    before = path.read_bytes()
    _write_params(path, changes)
    try:
        number, log = submit(job, root)
    finally:
        if number is None and path.read_bytes() != before:
            with atomic_path(path) as temporary:
                temporary.write_bytes(before)
    for key, value in changes.items():
        print(f"params.yaml: superdarn.{key} is now {value}")
    print(f"✓ job {number} runs {STAGE}; follow it: tail -F {log}")
    return number


def _project() -> Path | None:
    try:
        return find_project_root()
    except EarthSignalsError:
        return None


def _base(root: Path | None) -> SuperdarnParams:
    if root is None:
        return SuperdarnParams()
    return load_section("superdarn", SuperdarnParams, root / "params.yaml")


def _grid(params: SuperdarnParams, folder: Path) -> GridFile:
    """The grid of these parameters; made anew unless its records are synthetic ones of this version."""
    from earthsignals.superdarn.dataset import make_grid
    from earthsignals.superdarn.grid import open_grid
    from earthsignals.superdarn.simulation.days import VERSION
    from earthsignals.superdarn.source import prepare_records
    from earthsignals.training import resume_key

    values = params.model_dump(mode="json", include=set(_UPSTREAM))
    synthetic = params.source == "synthetic"
    made = {key: values[key] for key in ("source", "s3", "simulation", "gridding")}
    records = folder / f"records-{resume_key(made, VERSION)}"
    path = folder / f"grid-{resume_key(values, VERSION)}.h5"
    folder.mkdir(parents=True, exist_ok=True)
    if not (synthetic and path.is_file()):
        if not (synthetic and (records / "records.json").is_file()):
            prepare_records(params, records)
        make_grid(records, params, path)
    return open_grid(path)


def _settings(chosen: Configuration, accelerator: str, devices: int | str) -> Settings:
    """This machine's settings, with what the configuration and the call say."""
    from earthsignals.compute.device import choose_device

    if accelerator not in _ACCELERATORS:
        raise EarthSignalsError(
            f"accelerator is `{accelerator}`, expected one of {', '.join(_ACCELERATORS)}"
        )
    device = _ACCELERATORS[accelerator]
    if device == "gpu":
        # A GPU of any make; where there is none, CUDA's absence is told.
        device = choose_device("auto").type
        device = "cuda" if device == "cpu" else device
    settings = load_settings()
    # Without a word in the call, the machine's own settings decide.
    changes = _checked(chosen) | ({} if device == "auto" else {"device": device})
    count = devices if not str(devices).lstrip("-").isdecimal() else int(devices)
    if count in ("auto", -1):
        count = _all_devices(changes.get("device", settings.device))
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise EarthSignalsError(f"devices is `{devices}`, expected a whole number > 0, or auto")
    values = settings.model_dump(mode="json") | changes | {"devices": count}
    return validate(Settings, values, source="the configuration")


def _all_devices(device: str) -> int:
    from earthsignals.compute.device import choose_device

    chosen = choose_device(device)
    if chosen.type != "cuda" or ":" in device:
        return 1
    import torch

    return torch.cuda.device_count()


def _checked(chosen: Configuration) -> dict[str, Any]:
    """The configuration's settings, each within its bounds."""
    found = validate(Settings, chosen.settings, source="the configuration")
    return {key: getattr(found, key) for key in chosen.settings}


def _write_params(path: Path, changes: Mapping[str, Any]) -> None:
    """As a scale does it: values alone are replaced, comments and order stay."""
    if not changes:
        return
    with tempfile.TemporaryDirectory() as folder:
        scales = Path(folder) / "configuration.yaml"
        scales.write_text(json.dumps({"configuration": {"superdarn": nested(changes)}}), encoding="utf-8")
        apply_scale("configuration", path, scales)


def _shell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
