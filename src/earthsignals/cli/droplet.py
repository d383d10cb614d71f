"""`earthsignals droplet …`: a rented GPU machine: what it costs, and making it ready."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError, find_project_root

if TYPE_CHECKING:
    from earthsignals.tracking.cost import RunCost, Snapshot

app = typer.Typer(
    help="""A rented GPU machine: what it costs, and making it ready.

Examples:

\b
  earthsignals droplet cost --price 1.99               what our runs would cost, beside the plan
  earthsignals droplet setup root@203.0.113.7          fresh machine → clone, environment, torch, doctor
  earthsignals droplet setup droplet --print           only show what would be run there
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Torch(StrEnum):
    """Builds of torch; `auto` is the one for the GPU that is found."""

    auto = "auto"
    cuda = "cuda"
    rocm = "rocm"
    cpu = "cpu"


@app.command()
def cost(
    pipeline: Annotated[str | None, typer.Option(help="One pipeline; default: all.")] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="USD an hour; default: the setting price_per_hour_usd.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """What our runs logged, priced by the hour, beside the course's plan; and what a snapshot costs.

    Hours are those of the machine that each run names: a CPU's hours are an upper bound for a GPU. Stages
    without a run record (datasets, figures) are not counted.

    Examples:

    \b
      earthsignals droplet cost --price 1.99
      earthsignals droplet cost --pipeline plume --json
    """
    from earthsignals.tracking.cost import run_costs, snapshot

    if price is not None and not isfinite(price):
        raise EarthSignalsError("--price is a number of USD an hour, 0 or more, as 1.99")
    root, settings = find_project_root(), load_settings()
    hourly = settings.price_per_hour_usd if price is None else price
    runs, faults = run_costs(root, pipeline)
    if pipeline is not None and not runs:
        raise EarthSignalsError(
            f"no run of `{pipeline}` is recorded here (reports/{pipeline}/runs); `make pull` fetches other "
            f"machines' records, `make repro PIPELINE={pipeline}` makes them"
        )
    held = snapshot(root, Path(sys.prefix))
    monthly = held.usd_per_month(settings.snapshot_usd_per_gb_month)
    if as_json:
        print(json.dumps(_plain(runs, hourly, held, settings.snapshot_usd_per_gb_month, faults)))
        return
    _show(runs, hourly)
    typer.echo(
        f"snapshot of a stopped machine: {held.data_gb:.1f} GB that DVC holds + {held.environment_gb:.1f} GB "
        f"environment (+ the system itself) at {settings.snapshot_usd_per_gb_month:g} USD per GB and month: "
        f"{monthly:.2f} USD a month"
    )
    for fault in faults:
        typer.echo(f"! {fault}", err=True)
    if not hourly:
        typer.echo("no price is known: give --price 1.99, or price_per_hour_usd in settings.yaml")


@app.command()
def setup(
    host: Annotated[str, typer.Argument(help="[user@]host[:port], or a name of ~/.ssh/config.")],
    folder: Annotated[str, typer.Option(help="The clone there, in the home folder.")] = "earthsignals",
    torch: Annotated[Torch, typer.Option(help="Build of torch; auto: by the GPU found.")] = Torch.auto,
    torch_index: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Package index of that build, from pytorch.org's selector."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A Python environment there to use instead of making .venv."),
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="USD an hour, for the runs' cost.")] = None,
    show: Annotated[bool, typer.Option("--print", help="Show the commands, do nothing.")] = False,
    ssh_config: Annotated[
        Path | None, typer.Option("-F", "--ssh-config", help="An ssh configuration instead of yours.")
    ] = None,
) -> None:
    """Fresh machine → packages, clone of this commit, environment, torch for its GPU, doctor.

    Runs scripts/droplet.sh there over OpenSSH with the host's key checked. May be repeated: what is done
    is left alone. The clone comes from the origin if the machine can fetch it, else from here.

    Examples:

    \b
      earthsignals droplet setup root@203.0.113.7 --price 1.99
      earthsignals droplet setup droplet --torch rocm --torch-index ADDRESS
    """
    from earthsignals.remotes import droplet as droplets
    from earthsignals.remotes.openssh import parse_host
    from earthsignals.remotes.tunnel import login

    sources = droplets.read_sources(find_project_root())
    wanted = droplets.Droplet(
        parse_host(host, ssh_config), folder, torch.value, torch_index, environment, price
    )
    if show:
        for line in droplets.commands(wanted, sources):
            typer.echo(line)
        return
    if sources.unsent:
        typer.echo(f"! {sources.unsent} files here differ from the commit and are not sent", err=True)
    droplets.set_up(wanted, sources, lambda line: print(f"→ {line}", flush=True))
    typer.echo(
        f"✓ {host} is ready. Next, here: make tunnel HOST={host}, "
        f"make remote URL=ssh://{login(wanted.host)}@localhost:2222/…, make push; then there, in {folder}: "
        "make pull, dvc repro tdlas-train (docs/droplet.md)"
    )


def _show(runs: list[RunCost], hourly: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from earthsignals.tracking.cost import COURSE

    def told(hours: float | None) -> str:
        return "–" if hours is None else f"{hours:.3f}"

    def usd(hours: float | None) -> str:
        return f"{hours * hourly:.2f}" if hourly and hours is not None else "–"

    devices = sorted({run.device for run in runs})
    title = "what our runs logged" + (f" on {escape(devices[0])}" if len(devices) == 1 else "")
    logged = Table("stage", "kind", "hours", "device hours", "USD", title=title)
    for column in logged.columns[2:]:
        column.justify = "right"
    if len(devices) > 1:
        logged.add_column("device")
    for run in sorted(runs, key=lambda run: run.stage):
        hours = (told(run.wall_hours), told(run.device_hours), usd(run.wall_hours))
        cells = (run.stage, run.kind, *hours, run.device)
        # What a record says is no markup of ours.
        logged.add_row(*map(escape, cells[: len(logged.columns)]))
    beside = Table(
        "way of working", "course: GPU hours", "course: USD", "ours: hours", "ours: USD",
        title="beside the plan (source: the methane course's outline)",
    )  # fmt: skip
    for name, wall in _totals(runs).items():
        plan = COURSE[name]
        beside.add_row(plan.name, _range(plan.gpu_hours), _range(plan.usd), f"{wall:.2f}", usd(wall))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(logged)
    console.print(beside)


def _totals(runs: list[RunCost]) -> dict[str, float]:
    """Wall hours of each way of working: everything rented, or the trainings alone; unknown ones left out."""
    return {
        "everything": sum(run.wall_hours or 0.0 for run in runs),
        "hybrid": sum(run.wall_hours or 0.0 for run in runs if run.kind == "training"),
    }


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g}–{bounds[1]:g}"


def _plain(
    runs: list[RunCost], hourly: float, held: Snapshot, per_gb_month: float, faults: list[str]
) -> dict:
    from earthsignals.tracking.cost import COURSE

    return {
        "price_per_hour_usd": hourly,
        "runs": [asdict(run) | {"usd": run.usd(hourly)} for run in runs],
        "ways": {
            name: {"wall_hours": wall, "usd": wall * hourly, "course": asdict(COURSE[name])}
            for name, wall in _totals(runs).items()
        },
        "snapshot": asdict(held)
        | {"usd_per_gb_month": per_gb_month, "usd_per_month": held.usd_per_month(per_gb_month)},
        "faults": faults,
    }
