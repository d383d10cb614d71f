"""The `earthsignals` command: what belongs to the whole project, and a door to each pipeline.

A pipeline's commands live in `cli/<pipeline>.py` as a Typer object named `app`, those between machines in
`cli/<command>.py` as `app` or as a function of the command's name; all are imported only when they are
asked for. Modules here import nothing heavy at their top (torch, mlflow, lightning, matplotlib): `--help`
must answer at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from earthsignals import __version__
from earthsignals.cli.claims import claims
from earthsignals.cli.doctor import doctor
from earthsignals.cli.pipelines import PIPELINES
from earthsignals.cli.readme import readme
from earthsignals.cli.reference import reference
from earthsignals.cli.scale import scale
from earthsignals.cli.summary import summary
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError

_HELP = """Earth-sensing models, simulated or ingested, trained, judged and published by DVC.

Examples:

\b
  make repro                        reproduce everything, end with the headline figures
  earthsignals doctor               is this machine ready? what to do if not
  earthsignals scale smoke          small values into params.yaml, then: dvc repro
  earthsignals tdlas check          data, model, forward and backward pass, one batch
  earthsignals plume saliency ang20200924t211102_ch4mf_v2y1_img
  earthsignals summary tdlas        headline figures beside their expected values
  earthsignals claims               what was claimed, and what was measured
  earthsignals trace reports/tdlas/figures/allan.png    what made this?
"""

MACHINES = {
    "remote": "Where artifacts are kept: set it up, verify every object, mend it; a cache for several users.",
    "tunnel": "One ssh connection with host-key checking for the remote and for MLflow.",
    "runs": "The experiment history that travels with dvc push and pull.",
    "trace": "From any file or run to what made it, and back.",
    "server": "An MLflow server for a team.",
    "droplet": "A rented GPU machine: what it costs, and making it ready.",
    "slurm": "Run a stage as a SLURM job that survives its time limit.",
    "notebook": "Jupyter on a remote or GPU machine, forwarded to this one.",
}


class _Root(TyperGroup):
    """Finds commands by name when they are asked for, and says errors in one sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *MACHINES, *PIPELINES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        line = (MACHINES | PIPELINES).get(cmd_name)
        if line is None:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"earthsignals.cli.{cmd_name}")
        if hasattr(module, "app"):
            command = typer.main.get_group(module.app)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command()(getattr(module, cmd_name))
            command = typer.main.get_command(single)
        command.name, command.help = cmd_name, command.help or line
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the others by their lines above: the help imports none of them."""
        own = [(name, self.get_command(ctx, name)) for name in super().list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in own])
        with formatter.section("Between machines"):
            formatter.write_dl(list(MACHINES.items()))
        with formatter.section("Pipelines"):
            formatter.write_dl(list(PIPELINES.items()))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EarthSignalsError as error:
            print(f"earthsignals: {error}", file=sys.stderr)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Root, help=_HELP, no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)
app.command()(claims)
app.command()(doctor)
app.command()(readme)
app.command()(reference)
app.command()(scale)
app.command()(summary)


def _show_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
    cluster: str | None = typer.Option(
        None, "--cluster", metavar="ADDRESS",
        help="Do work over many items, where a command has such, on a Dask cluster: tcp://HOST:PORT, or "
        "slurm, sge, pbs, …",
    ),
) -> None:
    """Options of the command itself; its help is the application's."""
    if cluster is not None:
        if not cluster.strip():
            raise EarthSignalsError(
                "--cluster is empty; give a Dask scheduler's address (tcp://HOST:PORT) or a batch system "
                "(slurm, sge, pbs, …), or leave it out"
            )
        # The environment is how settings reach commands, stages and their workers alike.
        os.environ["EARTHSIGNALS_CLUSTER"] = cluster
        load_settings()


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
