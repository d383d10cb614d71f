"""`earthsignals notebook`: Jupyter on a remote machine or a GPU node, opened in the browser here."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from earthsignals.storage import EarthSignalsError, find_project_root


def notebook(
    host: Annotated[str, typer.Option("--host", help="Login host: [user@]host[:port], or a name of ssh's.")],
    job: Annotated[
        str | None,
        typer.Option("--slurm", "--job", help="Run in a job with these options of sbatch (or qsub)."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="The batch system of the job: slurm (as without it), sge or pbs.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option(help="The project there, seen from the home; default: this one's name.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port here; 0 takes a free one.")] = 0,
    ssh_config: Annotated[
        Path | None, typer.Option("-F", "--ssh-config", help="An ssh configuration instead of yours.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Show what would run there, do nothing.")] = False,
) -> None:
    """Start Jupyter there, on its loopback and with a token, and forward it here; Ctrl-C ends both.

    With --slurm it runs as a job on a node, reached through the login host. Host keys are always checked.
    Ctrl-C, or a broken connection, ends Jupyter and cancels the job.

    Examples:

    \b
      earthsignals notebook --host droplet
      earthsignals notebook --host login --slurm "--partition gpu --gres gpu:1 --time 2:00:00"
      earthsignals notebook --host login --scheduler pbs --job "-l select=1:ngpus=1"
    """
    from earthsignals.compute.jupyter import remote_script
    from earthsignals.compute.notebook import opened
    from earthsignals.remotes.openssh import parse_host

    if job is None and scheduler is not None:
        raise EarthSignalsError(
            f"--scheduler {scheduler} says where a job goes, but no job is asked for: add --job with its "
            "options (--job '' for none), or leave --scheduler out"
        )
    script = remote_script(
        folder or find_project_root().name, None if job is None else scheduler or "slurm", job or ""
    )
    machine = parse_host(host, ssh_config)
    if show:
        typer.echo(f"# on {host}, by ssh with checked host keys; its input ends with this command\n{script}")
        return
    # A closed terminal ends things as Ctrl-C does.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        with opened(machine, script, local_port=port, say=lambda line: typer.echo(f"· {line}")) as found:
            job_words = f", job {found.job}" if found.job else ""
            typer.echo(f"✓ Jupyter on {found.node}{job_words}; Ctrl-C ends it\n  {found.url}")
            found.process.wait()
            raise EarthSignalsError(f"Jupyter on {found.node} has ended, or the connection to it broke")
    except KeyboardInterrupt:
        typer.echo("✓ Jupyter and its tunnel are closed")
