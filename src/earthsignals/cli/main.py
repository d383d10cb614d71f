"""The `earthsignals` command: what belongs to the whole project, and a door to each pipeline.

A pipeline's commands live in `cli/<pipeline>.py` as a Typer object named `app`, and are imported
only when that pipeline is asked for. Modules here import nothing heavy at their top (torch, mlflow,
lightning, matplotlib): `--help` must answer at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from earthsignals import __version__
from earthsignals.cli.doctor import doctor
from earthsignals.cli.pipelines import PIPELINES
from earthsignals.cli.readme import readme
from earthsignals.cli.scale import scale
from earthsignals.cli.summary import summary
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
"""


class _Root(TyperGroup):
    """Finds pipelines by name when they are asked for, and says errors in one sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *PIPELINES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in PIPELINES:
            return super().get_command(ctx, cmd_name)
        room = import_module(f"earthsignals.cli.{cmd_name}").app
        group = typer.main.get_group(room)
        group.name, group.help = cmd_name, group.help or PIPELINES[cmd_name]
        return group

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List pipelines by their line above: the help imports none of them."""
        own = [(name, self.get_command(ctx, name)) for name in super().list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in own])
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
app.command()(doctor)
app.command()(readme)
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
) -> None:
    """Options of the command itself; its help is the application's."""


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
