"""seismic-figures: every figure as PNG and PDF; the folder is replaced as a whole."""

from pathlib import Path

from earthsignals.results import read_arrays
from earthsignals.seismic.figures import draw_all
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, read_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
TRAININGS = ("bottleneck", "denoiser", "seed")


def main() -> None:
    arrays, metrics = read_arrays(DATA / "evaluation.h5"), read_json(REPORTS / "metrics.json")
    histories = {name: read_json(REPORTS / f"training_{name}.json") for name in TRAININGS}
    with atomic_directory(REPORTS / "figures") as out:
        skipped = draw_all(arrays, metrics, histories, out)
    for name, reason in skipped.items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
