"""plume-figures: figures with their data, and views to touch; each of the folders is replaced as a whole."""

from pathlib import Path

from earthsignals.plume.figures import draw_all
from earthsignals.plume.imagery.index import read_index
from earthsignals.plume.pages import VIEWS, Inputs, write
from earthsignals.results import read_arrays
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, read_json

DATA, REPORTS = Path("data/plume"), Path("reports/plume")


def main() -> None:
    arrays, index = read_arrays(DATA / "evaluation.h5"), read_index(DATA / "scenes")
    metrics, history = read_json(REPORTS / "metrics.json"), read_json(REPORTS / "training.json")
    found = read_json(DATA / "saliency/plumes.json")
    with atomic_directory(REPORTS / "figures") as out, atomic_directory(DATA / "figures") as sources:
        skipped = draw_all(arrays, metrics, history, index, out, sources)
    with atomic_directory(DATA / "pages") as out:
        left_out = write(VIEWS, Inputs(arrays, index, found), out)
    for name, reason in (skipped | {f"page {name}": reason for name, reason in left_out.items()}).items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
