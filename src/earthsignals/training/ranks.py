"""The ranks of a training: one in this process, several spawned by it, or started by SLURM's srun.

By srun, every rank runs `python -m earthsignals.training.ranks FILE SHA256` and takes the training from
that file; rank 0 prints its rows as marked lines, which srun carries here from whatever machine it is on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training.jobfile import read_job, written_job
from earthsignals.training.quiet import hush

Row = dict[str, float]
# Ranks print other things too: what follows this control character is for the parent.
_MARK = "\x1eearthsignals "


@dataclass(frozen=True)
class Placement:
    """Where the ranks compute."""

    device_type: str
    device_index: int
    devices: int
    nodes: int
    precision: str

    @property
    def ranks(self) -> int:
        return self.devices * self.nodes

    def fit(self, module: Any, strategy: str, environment: Any) -> None:
        """Run Lightning's loop over `module` with all its automatisms off that the house does itself.

        `environment` is always given: Lightning would else look for SLURM by itself, take every job step
        for a rank of its own, and warn on each machine that has srun.
        """
        import lightning

        accelerator = {"cuda": "gpu", "mps": "mps"}.get(self.device_type, "cpu")
        one_gpu = self.ranks == 1 and accelerator == "gpu"
        state, epochs = module.progress_state, module.options.epochs
        with warnings.catch_warnings():
            hush()
            trainer = lightning.Trainer(
                accelerator=accelerator,
                devices=[self.device_index] if one_gpu else self.devices,
                num_nodes=self.nodes,
                strategy=strategy,
                plugins=[environment],
                precision=self.precision,
                max_epochs=epochs - state.next_epoch - module.validates_first,
                # The check before training, over all batches, is the validation that is outstanding.
                num_sanity_val_steps=-1 if module.validates_first else 0,
                # The rest of an interrupted epoch has fewer batches than those that follow.
                reload_dataloaders_every_n_epochs=int(state.step > 0),
                gradient_clip_val=module.options.gradient_clip or None,
                use_distributed_sampler=False,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=str(module.folder),
            )
            trainer.fit(module, module.batches["train"], module.batches["validation"])


def check_launcher(settings: Settings) -> None:
    """Raise EarthSignalsError where the ranks that the settings ask for cannot be started."""
    if settings.launcher == "spawn" and settings.nodes > 1:
        raise EarthSignalsError(
            f"nodes is {settings.nodes}, and the launcher `spawn` starts ranks on this machine alone: set "
            "launcher to `srun` inside a SLURM job (`earthsignals slurm submit` does), or nodes to 1"
        )
    if settings.launcher == "spawn" or settings.devices * settings.nodes == 1:
        return
    if shutil.which("srun") is None:
        raise EarthSignalsError(
            "the launcher is `srun`, and there is no such command on PATH: run inside a SLURM job "
            "(`earthsignals slurm submit`), or set launcher to `spawn`"
        )
    if "SLURM_JOB_ID" not in os.environ:
        raise EarthSignalsError(
            "the launcher is `srun`, and this is no SLURM job (SLURM_JOB_ID is not set): submit the stage "
            "by `earthsignals slurm submit`, or set launcher to `spawn`"
        )
    granted = int(os.environ.get("SLURM_JOB_NUM_NODES", settings.nodes))
    if granted < settings.nodes:
        raise EarthSignalsError(
            f"nodes is {settings.nodes}, and the job has {granted}: submit it with --nodes {settings.nodes}"
        )


def fit_here(module: Any, placement: Placement) -> None:
    """One rank, in this process."""
    from lightning.pytorch.plugins.environments import LightningEnvironment

    placement.fit(module, "auto", LightningEnvironment())


def fit_spawned(module: Any, placement: Placement) -> None:
    """Ranks on this machine, which start from this process's data and not by running the script again.

    Raises:
        EarthSignalsError: what a rank raised as such.
    """
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

    try:
        placement.fit(module, "ddp_spawn", LightningEnvironment())
    except (ProcessRaisedException, ProcessExitedException) as error:
        told = [line for line in str(error).splitlines() if "EarthSignalsError: " in line]
        if not told:
            raise
        message = told[-1].split("EarthSignalsError: ", 1)[1]
    else:
        return
    raise EarthSignalsError(message)


def fit_by_srun(module: Any, placement: Placement, report: Callable[[Row], None]) -> None:
    """Ranks on the machines of this SLURM job; `report` gets each row of rank 0.

    The resume folder must be the same on all of them, as a cluster's shared file systems are.

    Raises:
        EarthSignalsError: the training cannot be handed over, or a rank failed.
    """
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    environment = os.environ | {
        "MASTER_ADDR": _first_host() if placement.nodes > 1 else "127.0.0.1",
        "MASTER_PORT": str(find_free_network_port()),
        "PYTHONUNBUFFERED": "1",
    }
    with (
        written_job(module.folder, (module, placement)) as (path, digest),
        _running([*_srun(placement), sys.executable, "-m", __name__, str(path), digest], environment) as srun,
    ):
        told = None
        for line in srun.stdout:
            rest, said = _heard(line)
            print(rest, end="", flush=True)
            for content in said:
                if "row" in content:
                    report(content["row"])
                told = content.get("error", told)
        status = srun.wait()
    if told is not None:
        raise EarthSignalsError(told)
    if status != 0:
        raise EarthSignalsError(
            f"srun left with status {status}: a rank of the training ended before its time; what it said "
            "stands above, and the next call goes on from the last resume point"
        )


def _srun(placement: Placement) -> list[str]:
    # What the job was given per task is no default of srun since SLURM 22.05.
    cpus = os.environ.get("SLURM_CPUS_PER_TASK")
    return [
        "srun",
        f"--nodes={placement.nodes}",
        f"--ntasks={placement.ranks}",
        f"--ntasks-per-node={placement.devices}",
        *([f"--cpus-per-task={cpus}"] if cpus else []),
        "--kill-on-bad-exit=1",
        "--mpi=none",
        "--unbuffered",
    ]


def _first_host() -> str:
    from lightning.fabric.plugins.environments import SLURMEnvironment

    return SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_JOB_NODELIST"])


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command with its output as lines; it never outlives the block."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # srun ends its ranks then
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def _say(**content: Any) -> None:
    """One write, so that what another rank prints falls before or after it."""
    sys.stdout.flush()
    os.write(sys.stdout.fileno(), f"{_MARK}{json.dumps(content)}\n".encode())


def _heard(line: str) -> tuple[str, list[dict[str, Any]]]:
    """A line without what ranks have said in it, and that. Others' unfinished lines may surround it."""
    rest, *messages = line.split(_MARK)
    said = []
    for message in messages:
        content, end = json.JSONDecoder().raw_decode(message)
        said.append(content)
        rest += message[end:]
    return rest if rest.strip() else "", said


def main(path: str, digest: str) -> int:
    """One rank under srun; its exit status."""
    # Until the training listens: a signal to the whole job step must not end it half-way.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        module, placement = read_job(Path(path), digest)
        from lightning.pytorch.plugins.environments import SLURMEnvironment

        module.on_row = lambda row: _say(row=row)
        # By its own means Lightning would resubmit the job; here that is the submitter's part.
        placement.fit(module, "ddp", SLURMEnvironment(auto_requeue=False))
    except EarthSignalsError as error:
        _say(error=str(error))
        return 1
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A failed rank does not wait for the others to leave the process group: srun ends them.
    os._exit(status) if status else sys.exit(0)
