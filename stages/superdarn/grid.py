"""superdarn-grid: frames of line-of-sight vectors from daily grid files, split by blocks of time."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.stage import run_stage
from earthsignals.superdarn.dataset import make_grid
from earthsignals.superdarn.params import SuperdarnParams

DATA = Path("data/superdarn")


def main() -> None:
    summary = make_grid(DATA / "records", load_section("superdarn", SuperdarnParams), DATA / "grid.h5")
    for split, of in summary.splits.items():
        print(f"{split}: {of['frames']:,} frames, {of['vectors']:,} vectors, {of['first']} to {of['last']}")
    print(f"{len(summary.radars)} radars, {summary.coverage:.1%} of the cells in a frame")
    for reason, count in (summary.dropped | summary.faults).items():
        print(f"{reason}: {count:,}")
    for sentence in summary.refused.values():
        print(f"left out: {sentence}")


if __name__ == "__main__":
    run_stage(main)
