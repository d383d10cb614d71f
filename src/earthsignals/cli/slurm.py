"""`earthsignals slurm …`: a stage as a job of a SLURM cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from earthsignals.storage import find_project_root

app = typer.Typer(
    help="""Run a stage as a SLURM job that survives its time limit.

Before the limit the training saves itself, the job goes back into the queue, and its next start goes on
from the very step: the weights are those of an unbroken run. Several tasks are ranks of one training.

Examples:

\b
  earthsignals slurm submit tdlas-train --time 24:00:00 --partition gpu --gres gpu:1
  earthsignals slurm submit seismic-train --nodes 2 --ntasks-per-node 4 --gres gpu:4
  earthsignals slurm submit plume-train --print       the batch script alone
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command()
def submit(
    stage: Annotated[str, typer.Argument(help="A stage of dvc.yaml, such as tdlas-train.")],
    time: Annotated[str, typer.Option(help="Limit of one start, as sbatch takes it.")] = "24:00:00",
    partition: Annotated[str | None, typer.Option()] = None,
    nodes: Annotated[int, typer.Option(min=1)] = 1,
    ntasks_per_node: Annotated[int, typer.Option(min=1, help="Ranks of the training on a node.")] = 1,
    gres: Annotated[str | None, typer.Option(help="GPUs of a node, such as gpu:2.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(min=1)] = None,
    mem: Annotated[str | None, typer.Option(help="Memory of a node, such as 32G.")] = None,
    account: Annotated[str | None, typer.Option()] = None,
    qos: Annotated[str | None, typer.Option()] = None,
    signal_seconds: Annotated[
        int, typer.Option(min=1, max=65535, help="How long before the limit the training saves itself.")
    ] = 120,
    extra: Annotated[
        list[str] | None, typer.Option(help="Another option of sbatch: '--constraint=a100'; repeatable.")
    ] = None,
    setup: Annotated[
        list[str] | None, typer.Option(help="A shell line before the stage: 'module load cuda'; repeatable.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Show the script, submit nothing.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the job has ended for good; its exit code is ours.")
    ] = False,
) -> None:
    """Submit a stage; prints the job's number and how to follow it.

    The job runs `dvc repro -s STAGE` once, in this folder and with this Python environment: both must
    be visible on the nodes. `dvc push` afterwards, as after any run.

    Examples:

    \b
      earthsignals slurm submit tdlas-train --partition gpu --gres gpu:1
      earthsignals slurm submit tdlas-train --time 2:00:00 --wait && make push
      earthsignals slurm submit plume-train --extra '--constraint=a100' --setup 'module load cuda'
    """
    from earthsignals.compute import jobscript, slurm

    root = find_project_root()
    job = jobscript.Job(
        stage, time, partition, nodes, ntasks_per_node, gres, cpus_per_task, mem, account, qos,
        signal_seconds, tuple(_option(word) for word in extra or ()), tuple(setup or ()),
    )  # fmt: skip
    if show:
        jobscript.check(job, root)
        typer.echo(jobscript.script(job, root), nl=False)
        return
    number, log = slurm.submit(job, root)
    typer.echo(f"✓ job {number} runs {stage}")
    typer.echo(f"  follow it: tail -F {log}\n  its place: squeue -j {number}\n  end it: scancel {number}")
    if wait:
        raise typer.Exit(slurm.wait(number, typer.echo))


def _option(word: str) -> str:
    """`--extra constraint=a100`, `--extra --constraint=a100` and a whole `#SBATCH` line mean the same."""
    word = word.strip().removeprefix("#SBATCH").strip()
    return word if word.startswith("-") or not word else f"--{word}"


@app.command(hidden=True)
def run(stage: Annotated[str, typer.Argument()]) -> None:
    """What the batch script calls: the stage, saved and requeued before the job's time limit."""
    from earthsignals.compute.requeue import run as run_in_job

    raise typer.Exit(run_in_job(stage, find_project_root()))
