"""`earthsignals clouds …`: from satellite scenes on disk to embeddings, look-alikes and scores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from earthsignals.storage import EarthSignalsError

app = typer.Typer(
    help="""Cloud organisation in satellite imagery: scenes → triplets of tiles → embeddings.

Examples:

\b
  earthsignals clouds check                         is everything there? one batch, forward and back
  earthsignals clouds inspect my_scenes             what a folder holds, and what would be refused
  earthsignals clouds embed scene.nc -o maps
  earthsignals clouds similar scene.nc --at 14.5,-52 -o alike
  earthsignals clouds fetch                         the GOES files of clouds.goes, and nothing else
  earthsignals clouds triplets export tiles_as_png
  earthsignals clouds evaluate-real ../shared/data/clouds
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
triplets = typer.Typer(
    help="Triplets as pictures, NNNNN_{anchor,neighbor,distant}.png and NNNNN_meta.yaml, there and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(triplets, name="triplets")
DATA, REPORTS = Path("data/clouds"), Path("reports/clouds")
TRIPLETS = DATA / "triplets.h5"
Model = Annotated[Path, typer.Option("--model", "-m", help="The embedding.")]
Output = Annotated[Path, typer.Option("--output", "--out", "-o", help="Folder for the results.")]
BEST = DATA / "best_model.pt"


@app.command()
def embed(
    scenes: Annotated[
        list[Path],
        typer.Argument(metavar="SCENE...", help="CF netCDF, GeoTIFF, picture with its place, or GOES files."),
    ],
    model: Model = BEST,
    output: Output = Path("."),
    step: Annotated[
        int | None, typer.Option(min=1, max=4096, metavar="PIXELS", show_default="clouds.embed.step_px",
                                 help="From one window to the next.")
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="auto|exact|shared|sliding",
                          help="Share the trunk between windows, or run each: auto shares where that is "
                               "exact and cheaper, shared does even where padding makes it inexact.")
    ] = "auto",
) -> None:  # fmt: skip
    """Embed whole scenes window by window: CF netCDF with the place of each window.

    Examples:

    \b
      earthsignals clouds embed scene.nc
      earthsignals clouds embed *.nc --step 8 -o maps
    """
    from earthsignals.clouds.checkpoint import load_model
    from earthsignals.clouds.dense.shared import MODES
    from earthsignals.clouds.predict import embed_files

    if mode not in MODES:
        raise EarthSignalsError(f"--mode {mode} is none, expected one of {', '.join(MODES)}")
    _threads()
    params = _params(outside=True)
    typer.echo(
        embed_files(
            scenes, load_model(model), output, step_px=step or params.embed.step_px, mode=mode,
            maximum_missing=params.triplets.maximum_missing, params=params,
        )
    )  # fmt: skip


@app.command()
def similar(
    scene: Annotated[Path, typer.Argument(help="The scene that holds the place.")],
    at: Annotated[str, typer.Option("--at", metavar="LAT,LON", help="Degrees north and east, e.g. 14.5,-52")],
    model: Model = BEST,
    among: Annotated[
        list[Path] | None,
        typer.Option(metavar="SCENE", show_default="the scene alone", help="Where else to look; repeatable."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many to find.")] = 9,
    output: Output = Path("."),
) -> None:  # fmt: skip
    """Find the windows most like the one at a place: a table (CSV) and a gallery (PNG).

    Examples:

    \b
      earthsignals clouds similar scene.nc --at 14.5,-52
      earthsignals clouds similar scene.nc --at 14.5,-52 --among day1.nc --among day2.nc -n 20
    """
    from earthsignals.clouds.checkpoint import load_model
    from earthsignals.clouds.predict import similar as find

    place = read_place(at)
    _threads()
    params = _params(outside=True)
    typer.echo(
        find(
            scene, place, load_model(model), output, among=among or (), count=count,
            step_px=params.embed.step_px, maximum_missing=params.triplets.maximum_missing, params=params,
        )
    )  # fmt: skip


def read_place(text: str) -> tuple[float, float]:
    """Latitude and longitude in degrees from `LAT,LON`.

    Raises EarthSignalsError for anything else.
    """
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        latitude, longitude = float("nan"), 0.0
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 360):
        raise EarthSignalsError(
            f"--at {text} is no place, expected degrees north and east with a comma between: --at 14.5,-52"
        )
    return latitude, longitude


@triplets.command("export")
def export_triplets(
    folder: Annotated[Path, typer.Argument(help="Folder for train/, val/ and study/; new or empty.")],
    source: Annotated[Path, typer.Option("--triplets", "-t", help="The packed triplets.")] = TRIPLETS,
) -> None:
    """Write packed triplets as pictures and metadata.

    Example:

    \b
      earthsignals clouds triplets export tiles_as_png
    """
    from earthsignals.clouds.tiles.seed_layout import export_folder
    from earthsignals.clouds.tiles.tilefile import open_triplets

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EarthSignalsError(
            f"{folder} is there already, expected a new name or an empty folder; delete it or name another"
        )
    counts = export_folder(open_triplets(source), folder)
    typer.echo(f"{folder}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items()))


@triplets.command("import")
def import_triplets(
    folder: Annotated[Path, typer.Argument(help="Folder that holds train/ and study/.")],
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="The packed triplets.")
    ] = TRIPLETS,
    tile_km: Annotated[
        float | None,
        typer.Option(min=0.001, max=20_000, show_default="clouds.grid.tile_km",
                     help="Edge of tiles whose metadata tell none."),
    ] = None,
) -> None:  # fmt: skip
    """Pack triplets of pictures and metadata, as other programs write them.

    Examples:

    \b
      earthsignals clouds triplets import my_triplets
      earthsignals clouds triplets import my_triplets --tile-km 100 -o data/clouds/triplets.h5
    """
    from earthsignals.clouds.tiles.seed_layout import import_folder

    if output.exists():
        raise EarthSignalsError(
            f"{output} is there already, expected a new name; delete it or name another with -o"
        )
    found = import_folder(folder, output, tile_km or _params(outside=True).grid.tile_km)
    counts = ", ".join(f"{found.count(split):,} {split}" for split in found.splits)
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in found.dropped.items() if count)
    typer.echo(f"{output}: {counts}" + (f"; {dropped}" if dropped else ""))


@app.command()
def fetch() -> None:
    """Download the GOES files that clouds.goes asks for into its cache; what is there is kept.

    Interrupted? Type the same again.

    Example:

    \b
      earthsignals clouds fetch
    """
    from earthsignals.clouds.goes.fetch import fetch as download
    from earthsignals.clouds.goes.plan import choose_scans, wanted_times

    options = _params().goes
    cache = Path(options.cache)
    wanted, left = wanted_times(options)
    chosen, unfound = choose_scans(wanted, options, cache)
    files = [file for one in chosen for file in one.files]
    download(files, cache)
    size = sum(file.size for file in files) / 1e9
    typer.echo(f"{cache}: {len(chosen):,} scans in {len(files):,} files, {size:.2f} GB")
    reasons = Counter(one.reason for one in left + unfound)
    if reasons:
        typer.echo("left out: " + ", ".join(f"{reason} {n:,}" for reason, n in sorted(reasons.items())))


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of scenes: netCDF, GOES files, pictures, GeoTIFF.")],
) -> None:
    """Count a folder's scenes by product, bands and size, and name what would be refused and why.

    Example:

    \b
      earthsignals clouds inspect my_scenes
    """
    from earthsignals.clouds.inspection import inspect as look

    typer.echo(look(folder, _params(outside=True)).table())


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(help="A scene of your own; default: some simulated ones.")
    ] = None,
) -> None:
    """Try every step on one batch: scene, tiles, augmentation, network forward and backward.

    Examples:

    \b
      earthsignals clouds check
      earthsignals clouds check scene.nc
    """
    from earthsignals.clouds.check import check as run
    from earthsignals.settings import load_settings

    for line in run(_params(outside=data is not None), load_settings(), data):
        typer.echo(line)


@app.command("evaluate-real")
def evaluate_real(
    path: Annotated[Path, typer.Argument(help="Folder with boxes.csv beside its pictures, and GOES files.")],
    model: Model = BEST,
) -> None:
    """Judge the embedding by people's labels; writes reports/clouds/real.json and an MLflow run.

    Example:

    \b
      earthsignals clouds evaluate-real ../shared/data/clouds
    """
    from earthsignals import tracking
    from earthsignals.clouds.checkpoint import load_model
    from earthsignals.clouds.real import evaluate_real as judge
    from earthsignals.clouds.tiles.tilefile import open_triplets
    from earthsignals.settings import load_settings

    params, settings = _params(), load_settings()
    _threads()
    embedding, packed = load_model(model), open_triplets(TRIPLETS)
    out = REPORTS / "real.json"
    with tracking.run(
        "clouds", "evaluate-real", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        found = judge(path, packed, embedding, params, settings, out)
        run.set_tags({k: v for k, v in found.items() if isinstance(v, str)})
        run.log_metrics({k: v for k, v in found.items() if isinstance(v, float)})
        run.log_artifact(out)
    typer.echo(f"{out}: {found['tiles']} tiles of {found['scenes']} scenes")
    for name, row in sorted(found["rows"].items(), key=lambda item: -item[1]["probe"]):
        probe = f"{row['probe']:.2f} [{row['probe_low']:.2f}, {row['probe_high']:.2f}]"
        typer.echo(
            f"  {name:<18} probe {probe}  p {row['probe_p']:.3f}  mean of classes "
            f"{row['probe_class_mean']:.2f}  mAP {row['map']:.2f}"
        )
    typer.echo(f"  {'chance':<18} probe {found['probe_chance']:.2f}; always the commonest class "
               f"{found['probe_majority']:.2f}; mAP {found['map_chance']:.2f}")  # fmt: skip
    typer.echo(f"  {found['says']}")


def _params(outside: bool = False) -> Any:
    """The project's parameters; outside of any project the defaults, where a command works there too."""
    from earthsignals.clouds.params import CloudsParams
    from earthsignals.params import load_section

    if outside and not Path("params.yaml").is_file():
        return CloudsParams()
    return load_section("clouds", CloudsParams)


def _threads() -> None:
    import torch

    from earthsignals.settings import load_settings

    torch.set_num_threads(load_settings().threads)
