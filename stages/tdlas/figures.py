"""tdlas-figures: figures with their data, and views to touch; each of the folders is replaced as a whole."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.results import read_arrays
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, read_json
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.figures import draw_all
from earthsignals.tdlas.lines import read_lines
from earthsignals.tdlas.pages import VIEWS, Inputs, write
from earthsignals.tdlas.params import TdlasParams

DATA, REPORTS = Path("data/tdlas"), Path("reports/tdlas")


def main() -> None:
    params = load_section("tdlas", TdlasParams)
    lines = read_lines(DATA / "lines.csv")
    arrays = read_arrays(DATA / "evaluation.h5")
    metrics, history = read_json(REPORTS / "metrics.json"), read_json(REPORTS / "training.json")
    with open_scans(DATA / "dataset.h5") as file:
        with atomic_directory(REPORTS / "figures") as out, atomic_directory(DATA / "figures") as sources:
            skipped = draw_all(file, lines, params, arrays, metrics, history, out, sources)
        with atomic_directory(DATA / "pages") as out:
            left_out = write(VIEWS, Inputs(file, lines, params, arrays), out)
    for name, reason in (skipped | {f"page {name}": reason for name, reason in left_out.items()}).items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
