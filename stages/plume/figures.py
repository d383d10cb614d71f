"""plume-figures: every figure as PNG and PDF; the folder is replaced as a whole."""

from pathlib import Path

from earthsignals.plume.figures import draw_all
from earthsignals.plume.imagery.index import read_index
from earthsignals.results import read_arrays
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, read_json

DATA, REPORTS = Path("data/plume"), Path("reports/plume")


def main() -> None:
    arrays, index = read_arrays(DATA / "evaluation.h5"), read_index(DATA / "scenes")
    metrics, history = read_json(REPORTS / "metrics.json"), read_json(REPORTS / "training.json")
    with atomic_directory(REPORTS / "figures") as out:
        skipped = draw_all(arrays, metrics, history, index, out)
    for name, reason in skipped.items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
