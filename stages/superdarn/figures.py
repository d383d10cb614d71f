"""superdarn-figures: figures as PNG and PDF and a forecast as GIF; the folder is replaced as a whole."""

from pathlib import Path

from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory
from earthsignals.superdarn.figures import draw_all
from earthsignals.superdarn.figures.reading import read_inputs

DATA, REPORTS = Path("data/superdarn"), Path("reports/superdarn")


def main() -> None:
    inputs = read_inputs(DATA, REPORTS)
    with atomic_directory(REPORTS / "figures") as out:
        skipped = draw_all(inputs, out)
    for name, reason in skipped.items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
