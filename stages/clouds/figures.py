"""clouds-figures: figures with their data, and views to touch; each of the folders is replaced as a whole."""

from pathlib import Path

from earthsignals.clouds.figures import draw_all
from earthsignals.clouds.figures.reading import read_inputs
from earthsignals.clouds.pages import VIEWS, write
from earthsignals.clouds.params import CloudsParams
from earthsignals.params import load_section
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory

DATA, REPORTS = Path("data/clouds"), Path("reports/clouds")


def main() -> None:
    inputs = read_inputs(DATA, REPORTS, load_section("clouds", CloudsParams))
    with atomic_directory(REPORTS / "figures") as out, atomic_directory(DATA / "figures") as sources:
        skipped = draw_all(inputs, out, sources)
    with atomic_directory(DATA / "pages") as out:
        left_out = write(VIEWS, inputs, out)
    for name, reason in (skipped | {f"page {name}": reason for name, reason in left_out.items()}).items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
