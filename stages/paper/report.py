"""paper-report: the overview and a page per pipeline, each in one file."""

from pathlib import Path

from earthsignals.publication.report import write_report
from earthsignals.stage import run_stage


def main() -> None:
    for path in write_report(Path("."), Path("reports")):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_stage(main)
