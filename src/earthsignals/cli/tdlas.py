"""`earthsignals tdlas …`: what a spectroscopist types beside the DVC stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="""Methane from laser absorption: HITRAN lines → scans → mole fraction with interval.

Examples:

\b
  earthsignals tdlas check                          is everything there? one batch, forward and back
  earthsignals tdlas check my_scans.h5              ... with your own scans
  earthsignals tdlas predict my_scans.h5 --out ppm.csv
  earthsignals tdlas dump --n 20 --out spectra/     single spectra as CSV
  earthsignals tdlas evaluate-real ../shared/data/tdlas
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
MODEL = Path("data/tdlas/best_model.pt")


@app.command()
def check(
    data: Annotated[Path | None, typer.Argument(help="Scans to look at; default: simulate a few.")] = None,
) -> None:
    """Look at data and model and run one batch forward and backward, within a minute."""
    from earthsignals.params import load_section
    from earthsignals.settings import load_settings
    from earthsignals.tdlas.check import check as run_check
    from earthsignals.tdlas.params import TdlasParams

    for line in run_check(load_section("tdlas", TdlasParams), load_settings(), data):
        typer.echo(f"✓ {line}")


@app.command()
def predict(
    scans: Annotated[Path, typer.Argument(help="A dataset .h5, or measured scans (.h5, .csv, folder).")],
    model: Annotated[Path, typer.Option(help="A best_model.pt or model.onnx.")] = MODEL,
    out: Annotated[Path, typer.Option(help="Result: .csv or .h5.")] = Path("predictions.csv"),
) -> None:
    """Mole fraction with its interval for every scan of a file of any length.

    Saturated, dark and non-finite scans get NaN and a flag, never a number.
    """
    from earthsignals.tdlas.predict import predict_file

    counts = predict_file(scans, model, out)
    flagged = ", ".join(f"{n:,} {name}" for name, n in counts.items() if name != "scans" and n)
    typer.echo(f"{out}: {counts['scans']:,} scans" + (f" ({flagged})" if flagged else ""))


@app.command()
def dump(
    n: Annotated[int, typer.Option(min=1, max=99_999, help="How many spectra.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for the CSV files.")] = Path("spectra"),
) -> None:
    """Write single simulated spectra as CSV, named TTT-P_P-LLLL-XXXXX.csv (K, atm, cm, ppm)."""
    from earthsignals.params import load_section
    from earthsignals.tdlas.dump import dump as write_spectra
    from earthsignals.tdlas.hitran import collect_lines
    from earthsignals.tdlas.params import TdlasParams

    params = load_section("tdlas", TdlasParams)
    paths = write_spectra(params, collect_lines(params.lines), n, out)
    typer.echo(f"{out}: {len(paths)} spectra, the first {paths[0].name}")


@app.command("evaluate-real")
def evaluate_real(
    path: Annotated[Path, typer.Argument(help="Line list (.data, .par), folder of them, or scans.")],
    model: Annotated[Path, typer.Option(help="The network to judge.")] = MODEL,
) -> None:
    """Judge the trained network on real data; writes reports/tdlas/real.json and an MLflow run."""
    from earthsignals import tracking
    from earthsignals.params import load_section
    from earthsignals.settings import load_settings
    from earthsignals.storage import write_json
    from earthsignals.tdlas.checkpoint import load_filter_net
    from earthsignals.tdlas.lines import read_lines
    from earthsignals.tdlas.params import TdlasParams
    from earthsignals.tdlas.real import evaluate_real as judge

    params = load_section("tdlas", TdlasParams)
    out = Path("reports/tdlas/real.json")
    net = load_filter_net(model)
    lines = read_lines(Path("data/tdlas/lines.csv"))
    with tracking.run(
        "tdlas", "evaluate-real", params.model_dump(mode="json"), load_settings(), kind="evaluation"
    ) as run:
        found = judge(path, net, lines, params)
        write_json(out, found)
        run.set_tags({k: v for k, v in found.items() if isinstance(v, str)})
        run.log_metrics({k: v for k, v in found.items() if not isinstance(v, str)})
        run.log_artifact(out)
    typer.echo(f"{out}: judged on {found['scans']:,} scans of {found['data']}")
    for decade, value in found["rmse_over_crlb"].items():
        typer.echo(f"  {decade:>10} ppm  RMSE / bound {value:6.2f}")
