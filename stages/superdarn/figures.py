"""superdarn-figures: figures with their data, an animation, views to touch; each folder is replaced whole."""

from pathlib import Path

from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory
from earthsignals.superdarn.figures import draw_all
from earthsignals.superdarn.figures.reading import read_inputs
from earthsignals.superdarn.pages import VIEWS, write

DATA, REPORTS = Path("data/superdarn"), Path("reports/superdarn")


def main() -> None:
    inputs = read_inputs(DATA, REPORTS)
    with atomic_directory(REPORTS / "figures") as out, atomic_directory(DATA / "figures") as sources:
        skipped = draw_all(inputs, out, sources)
    with atomic_directory(DATA / "pages") as out:
        left_out = write(VIEWS, inputs, out)
    for name, reason in (skipped | {f"page {name}": reason for name, reason in left_out.items()}).items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
