"""`earthsignals seismic …`: from waveforms on disk to reconstructions, clean traces, scores, embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earthsignals.storage import EarthSignalsError

app = typer.Typer(
    help="""Seismic waveforms: three components → spectrograms → what is in them, without the noise.

Examples:

\b
  earthsignals seismic check                        is everything there? one batch, forward and back
  earthsignals seismic inspect my_waveforms         what a folder holds, and what would be refused
  earthsignals seismic denoise day.mseed -o clean
  earthsignals seismic score my_waveforms -o scores.csv
  earthsignals seismic embed my_waveforms -o embeddings.parquet
  earthsignals seismic reconstruct my_waveforms --num-samples 20 -o gallery
  earthsignals seismic evaluate-real ../shared/data/seismic
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
Paths = Annotated[
    list[Path],
    typer.Argument(metavar="FILE_OR_FOLDER...", help="miniSEED or SAC, any length, any number of stations."),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="The autoencoder.")]
BEST, DENOISER = DATA / "best_model.pt", DATA / "denoiser.pt"


@app.command()
def reconstruct(
    paths: Paths,
    model: Model = BEST,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("."),
    size: Annotated[
        int | None,
        typer.Option(min=1, show_default="the largest", help="Numbers of the latent that are used."),
    ] = None,
    num_samples: Annotated[
        int, typer.Option(min=0, metavar="N", help="Draw N evenly chosen windows as PNG: input, output, "
                                                   "difference, MSE and MAE of each component.")
    ] = 0,
) -> None:  # fmt: skip
    """Send waveforms through the latent and back: miniSEED with the input's phase, and errors as CSV.

    Examples:

    \b
      earthsignals seismic reconstruct event.mseed
      earthsignals seismic reconstruct my_waveforms --size 32 --num-samples 20 -o gallery
    """
    from earthsignals.seismic.checkpoint import load_model
    from earthsignals.seismic.predict import reconstruct as run

    _threads()
    typer.echo(
        run(paths, load_model(model), output, size=size, num_samples=num_samples, reading=_reading())
    )


@app.command()
def denoise(
    paths: Paths,
    model: Annotated[Path, typer.Option("--model", "-m", help="The denoiser.")] = DENOISER,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("."),
) -> None:
    """Take the noise out: miniSEED with the input's names, times and sampling rate.

    Examples:

    \b
      earthsignals seismic denoise day.mseed -o clean
      earthsignals seismic denoise my_waveforms
    """
    from earthsignals.seismic.checkpoint import load_model
    from earthsignals.seismic.predict import denoise as run

    _threads()
    typer.echo(run(paths, load_model(model, "denoiser"), output, reading=_reading()))


@app.command()
def score(
    paths: Paths,
    model: Model = BEST,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table.")] = Path("scores.csv"),
) -> None:
    """How unusual each window is: distances in the latent, reconstruction error, a flag (CSV).

    Examples:

    \b
      earthsignals seismic score my_waveforms
      earthsignals seismic score day.mseed -o day.csv
    """
    from earthsignals.seismic.checkpoint import load_model
    from earthsignals.seismic.predict import score as run

    _threads()
    typer.echo(run(paths, load_model(model, "bottleneck"), output, reading=_reading()))


@app.command()
def embed(
    paths: Paths,
    model: Model = BEST,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table.")] = Path("embeddings.parquet"),
) -> None:
    """The latent of every window as a row of a Parquet table.

    Examples:

    \b
      earthsignals seismic embed my_waveforms
      python -c "import pandas; print(pandas.read_parquet('embeddings.parquet'))"
    """
    from earthsignals.seismic.checkpoint import load_model
    from earthsignals.seismic.predict import embed as run

    _threads()
    typer.echo(run(paths, load_model(model), output, reading=_reading()))


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of miniSEED or SAC files.")],
) -> None:
    """Count a folder's records by kind, rate and length, and name what would be refused and why.

    Example:

    \b
      earthsignals seismic inspect my_waveforms
    """
    from earthsignals.seismic.records.inspect import inspect as run

    typer.echo(run(folder, _params()).table())


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(help="A waveform file of your own; default: a simulated record.")
    ] = None,
) -> None:
    """Try every step on one batch: read, STFT and back, networks forward and backward.

    Examples:

    \b
      earthsignals seismic check
      earthsignals seismic check event.mseed
    """
    from earthsignals.seismic.check import check as run
    from earthsignals.settings import load_settings

    for line in run(_params(), load_settings(), data):
        typer.echo(line)


@app.command("evaluate-real")
def evaluate_real(
    path: Annotated[Path, typer.Argument(help="Folder with mseed_3c/ and noise_mseed/, or of records.")],
    model: Model = BEST,
) -> None:
    """Judge the trained networks on real records; writes reports/seismic/real.json and an MLflow run.

    Example:

    \b
      earthsignals seismic evaluate-real ../shared/data/seismic
    """
    from earthsignals import tracking
    from earthsignals.seismic.checkpoint import load_model
    from earthsignals.seismic.real import evaluate_real as judge
    from earthsignals.seismic.store.packed import open_store
    from earthsignals.settings import load_settings

    params, settings = _params(), load_settings()
    _threads()
    models = {
        "bottleneck": load_model(model, "bottleneck"), "denoiser": load_model(DENOISER, "denoiser"),
        "seed": load_model(DATA / "seed.pt", "seed"),
    }  # fmt: skip
    store = open_store(DATA / "packed", corrupt=params.store.corrupt)
    out = REPORTS / "real.json"
    with tracking.run(
        "seismic", "evaluate-real", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        found = judge(path, store, **models, params=params, settings=settings, out=out)
        run.set_tags({k: v for k, v in found.items() if isinstance(v, str)})
        run.log_metrics({k: v for k, v in found.items() if isinstance(v, float)})
        run.log_artifact(out)
    typer.echo(f"{out}: {found['records']} records")
    for size, errors in sorted(found["mse"].items(), key=lambda item: int(item[0])):
        told = "  ".join(f"{name} {errors[name]:.5f}" for name in ("model", "pca", "patch_pca"))
        typer.echo(f"  {size:>4} numbers  {told}")


def _params() -> Any:
    from earthsignals.params import load_section
    from earthsignals.seismic.params import SeismicParams

    return load_section("seismic", SeismicParams)


def _reading() -> Any:
    """How files are read: the project's own rules, or the defaults outside of a project."""
    from earthsignals.params import ParamsError
    from earthsignals.seismic.params import ReadingParams

    if not Path("params.yaml").is_file():
        return ReadingParams()
    try:
        return _params().reading
    except ParamsError as error:
        raise EarthSignalsError(str(error)) from None


def _threads() -> None:
    import torch

    from earthsignals.settings import load_settings

    torch.set_num_threads(load_settings().threads)
