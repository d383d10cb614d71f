"""`earthsignals superdarn …`: from radar records on disk or in a bucket to forecasts and scores."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from earthsignals.cli.mirror import mirror
from earthsignals.storage import EarthSignalsError

app = typer.Typer(
    help="""High-latitude plasma drift from SuperDARN radars: records → grids → forecasts with skill.

Examples:

\b
  earthsignals superdarn check                      is everything there? one batch, forward and back
  earthsignals superdarn explore my_records         what a folder holds: records, radars, gaps, fields
  earthsignals superdarn forecast 20150301.north.grid.bz2 --lead 60 --out forecast.nc
  earthsignals superdarn mirror superdarn records --endpoint-url http://127.0.0.1:9000
  earthsignals superdarn filelists my_fitacf --window 60 --min-radars 5
  earthsignals superdarn potential 20221007.north.map
  earthsignals superdarn evaluate-real ../shared/data/superdarn
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("mirror")(mirror)
DATA, REPORTS = Path("data/superdarn"), Path("reports/superdarn")
BEST = DATA / "best_model.pt"
Model = Annotated[Path, typer.Option("--model", "-m", help="The trained model.")]


@app.command()
def forecast(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="fitacf, grid, map, grid netCDF, or folders.")
    ],
    model: Model = BEST,
    lead: Annotated[int, typer.Option("--lead", "-l", min=1, help="Minutes ahead, the last.")] = 60,
    out: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="netCDF; the picture gets its name with .png.")
    ] = Path("forecast.nc"),
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], show_default="the end of the records",
                     help="Time of issue, UTC."),
    ] = None,
) -> None:  # fmt: skip
    """Forecast the drift from radar files: CF netCDF with every lead, and a picture beside it.

    Little history works and is told: one radar, some minutes, hours without records.

    Examples:

    \b
      earthsignals superdarn forecast 20150301.north.grid.bz2
      earthsignals superdarn forecast day/*.fitacf.bz2 --at 2011-05-09T13:00 --lead 30 -o noon.nc
    """
    from earthsignals.superdarn.checkpoint import load_model
    from earthsignals.superdarn.predict import forecast_files

    _threads()
    typer.echo(forecast_files(files, load_model(model), out, lead, at=at, params=_params(outside=True)))


@app.command("evaluate-real")
def evaluate_real(
    path: Annotated[Path, typer.Argument(help="A day's files, or a folder of days.")],
    model: Model = BEST,
) -> None:
    """Judge the model on real days: trained further on their first 12 hours, judged on the last 12.

    Writes reports/superdarn/real.json and an MLflow run.

    Example:

    \b
      earthsignals superdarn evaluate-real ../shared/data/superdarn
    """
    from earthsignals import tracking
    from earthsignals.settings import load_settings
    from earthsignals.superdarn.checkpoint import load_model
    from earthsignals.superdarn.real import evaluate_real as judge

    params, settings = _params(), load_settings()
    _threads()
    trained, out = load_model(model), REPORTS / "real.json"
    with tracking.run(
        "superdarn", "evaluate-real", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        found = judge(path, trained, params, settings, out)
        run.set_tags({k: v for k, v in found.items() if isinstance(v, str)})
        run.log_metrics(_flat(found))
        run.log_artifact(out)
    typer.echo(f"{out}: {len(found['days'])} days judged")
    typer.echo(skill_table(found))


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(help="Records of your own; default: some hours are simulated.")
    ] = None,
) -> None:
    """Try every step on one batch: records, grid, linear start, network forward and backward.

    Examples:

    \b
      earthsignals superdarn check
      earthsignals superdarn check my_records
    """
    from earthsignals.settings import load_settings
    from earthsignals.superdarn.check import check as run

    for line in run(_params(outside=data is not None), load_settings(), data):
        typer.echo(line)


@app.command()
def explore(
    folder: Annotated[Path, typer.Argument(help="Folder of records of any kind, or one file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", metavar="STEM", help="Also write STEM.csv, .png and .pdf."),
    ] = None,
) -> None:
    """Tell what a folder holds: files by kind, records, radars hour by hour, gaps, fields and faults.

    Examples:

    \b
      earthsignals superdarn explore my_records
      earthsignals superdarn explore my_records -o my_records_report
    """
    from earthsignals.superdarn.records.explore import explore as look

    found = look(folder)
    typer.echo(found.to_text().rstrip())
    if out is None:
        return
    from earthsignals.results import MissingData, write_rows
    from earthsignals.superdarn.figures.exploration import write_exploration

    rows = found.to_rows()
    table = out.with_name(f"{out.name}.csv")
    write_rows(table, rows, list(rows[0]))
    try:
        written = [table, *write_exploration(found, out)]
    except MissingData as reason:
        typer.echo(f"not drawn: {reason}")
        written = [table]
    typer.echo(f"\nwritten: {', '.join(map(str, written))}")


@app.command()
def filelists(
    folder: Annotated[Path, typer.Argument(help="Folder of fitacf files.")],
    window: Annotated[float, typer.Option(min=1, help="Minutes of a window.")] = 60,
    min_radars: Annotated[int, typer.Option(min=1, help="Windows with fewer radars are left out.")] = 1,
    maps: Annotated[
        Path | None, typer.Option(show_default="beside the files", help="Where convection maps lie.")
    ] = None,
) -> None:
    """Group fitacf files by windows of time, with the convection map of each: tab-separated lines.

    Columns: start, end, radars, map (or -), files.

    Example:

    \b
      earthsignals superdarn filelists my_fitacf --window 120 --min-radars 3
    """
    from earthsignals.superdarn.records.filelists import conv_maps_for, fitacf_to_filelists

    lists = fitacf_to_filelists(folder, window, min_radars)
    for each, found in zip(lists, conv_maps_for(lists, maps), strict=True):
        radars = ",".join(map(str, each.radars))
        names = " ".join(map(str, each.files))
        typer.echo(
            f"{each.start:%Y-%m-%dT%H:%M}\t{each.end:%Y-%m-%dT%H:%M}\t{radars}\t{found or '-'}\t{names}"
        )
    if lists.too_few:
        typer.echo(f"left out: {lists.too_few} windows of fewer than {min_radars} radars", err=True)
    for file, why in lists.refused.items():
        typer.echo(f"refused: {file}: {why}", err=True)


@app.command()
def potential(
    file: Annotated[Path, typer.Argument(metavar="MAPFILE", help="A map file: .map, .mp; bz2 too.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", metavar="STEM", help="Also write STEM.csv and STEM.png."),
    ] = None,
) -> None:
    """Cross polar cap potential and line-of-sight residual of each record of a map file, beside its own.

    Examples:

    \b
      earthsignals superdarn potential 20221007.north.map
      earthsignals superdarn potential 20221007.north.map -o potential
    """
    from earthsignals.superdarn.maps import read_maps
    from earthsignals.superdarn.potential_report import COLUMNS, draw_potential, rows_of

    maps = read_maps(file)
    rows = rows_of(maps)
    typer.echo(f"{'start':<21}{'order':>6}{'latmin':>8}{'drop [kV]':>11}{'file':>8}{'vectors':>9}"
               f"{'rms [m/s]':>11}{'file':>8}")  # fmt: skip
    for row in rows:
        typer.echo(
            f"{row['start']:<21}{row['order']:>6}{row['latmin']:>8.0f}{row['drop_kv']:>11.2f}"
            f"{row['stated_drop_kv']:>8.2f}{row['vectors']:>9}{row['residual_m_s']:>11.1f}"
            f"{row['stated_residual_m_s']:>8.1f}"
        )
    if out is not None:
        from earthsignals.results import write_rows

        table, picture = out.with_name(f"{out.name}.csv"), out.with_name(f"{out.name}.png")
        write_rows(table, rows, COLUMNS)
        draw_potential(picture, maps)
        typer.echo(f"written: {table}, {picture}")


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="seed: the older practice's defaults.")],
    write: Annotated[bool, typer.Option("--write", help="Put the values into params.yaml.")] = False,
) -> None:
    """Show a set of parameters, or write it into params.yaml; comments there stay.

    Examples:

    \b
      earthsignals superdarn preset seed             what would change
      earthsignals superdarn preset seed --write     then: dvc repro superdarn-figures
    """
    if name != "seed":
        raise EarthSignalsError(
            f"there is no preset {name}, expected seed: earthsignals superdarn preset seed"
        )
    changes = _seed_changes(write)
    for change in changes:
        typer.echo(f"  {change.key}  {change.old} → {change.new}")
    if not changes:
        typer.echo("params.yaml has these values already")
    elif write:
        typer.echo("written into params.yaml; back with: git checkout params.yaml")


def _seed_changes(write: bool) -> list[Any]:
    """The preset as a scale of its own, for what changes params.yaml already."""
    import json
    import tempfile

    from earthsignals.params import apply_scale, scale_changes
    from earthsignals.storage import find_project_root
    from earthsignals.superdarn.networks.seed import seed_params

    before = _params()
    changed = _changed(*(each.model_dump(mode="json") for each in (before, seed_params(before))))
    if not changed:
        return []
    with tempfile.TemporaryDirectory(prefix="preset-") as folder:
        scales = Path(folder) / "seed.yaml"
        scales.write_text(json.dumps({"seed": {"superdarn": changed}}))  # JSON is YAML, too
        change = apply_scale if write else scale_changes
        return change("seed", find_project_root() / "params.yaml", scales)


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What differs, section by section."""
    out = {}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            if inner := _changed(old[key], value):
                out[key] = inner
        elif value != old.get(key):
            out[key] = value
    return out


def skill_table(found: dict[str, Any]) -> str:
    """Errors and skill by lead, for people."""
    errors = found["rmse_m_s"]
    leads = sorted(errors["model"], key=int)
    width = max(map(len, errors)) + 2
    lines = [
        f"{'RMSE along the line of sight [m/s]':<36}" + "".join(f"{lead:>8}" for lead in leads) + "  min"
    ]
    lines += [
        f"  {method:<{width}}".ljust(36) + "".join(f"{values[lead]:>8.0f}" for lead in leads)
        for method, values in errors.items()
    ]
    for key, label in (("skill_vs_damped", "damped persistence"), ("skill_vs_persistence", "persistence")):
        lines.append(f"skill over {label}".ljust(36) + "".join(f"{found[key][lead]:>8.2f}" for lead in leads))
    return "\n".join(lines)


def _flat(found: dict[str, Any]) -> dict[str, float]:
    """Numbers for MLflow: of objects by lead, `key_lead`."""
    out = {key: float(value) for key, value in found.items() if isinstance(value, float)}
    for key in ("skill_vs_damped", "skill_vs_persistence"):
        out |= {f"{key}_{lead}": value for lead, value in found[key].items() if value is not None}
    return out


def _params(outside: bool = False) -> Any:
    """The project's parameters; outside of any project the defaults, where a command works there too."""
    from earthsignals.params import load_section
    from earthsignals.superdarn.params import SuperdarnParams

    if outside and not Path("params.yaml").is_file():
        return SuperdarnParams()
    return load_section("superdarn", SuperdarnParams)


def _threads() -> None:
    import torch

    from earthsignals.settings import load_settings

    torch.set_num_threads(load_settings().threads)
