"""paper-figures: every figure in all its forms, with its data and what made it; the folder is replaced."""

from pathlib import Path

from earthsignals.publication.bundle import write_bundle
from earthsignals.stage import run_stage


def main() -> None:
    figures = write_bundle(Path("."), Path("data/paper/figures"))
    print(", ".join(f"{pipeline}: {len(names)} figures" for pipeline, names in figures.items()))


if __name__ == "__main__":
    run_stage(main)
