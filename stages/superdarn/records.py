"""superdarn-records: daily grid files, simulated, read from a folder or streamed from a bucket."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.stage import run_stage
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.source import prepare_records

OUT = Path("data/superdarn/records")


def main() -> None:
    summary = prepare_records(load_section("superdarn", SuperdarnParams), OUT)
    print(
        f"{summary.vectors:,} vectors of {len(summary.radars)} radars in {len(summary.files)} daily files "
        f"from {summary.source}"
    )
    for kind, count in summary.kinds.items():
        print(f"read, {kind}: {count:,}")
    for refusal in summary.refused:
        print(f"skipped: {refusal.detail}")
    for reason, count in summary.dropped.items():
        print(f"left out, {reason}: {count:,}")


if __name__ == "__main__":
    run_stage(main)
