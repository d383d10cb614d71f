"""plume-scenes: synthetic flightlines with their truth, or an index of the user's own."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.plume.imagery.ingest import ingest_folder
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.simulation.scenes import make_scenes
from earthsignals.stage import run_stage

OUT = Path("data/plume/scenes")


def main() -> None:
    params = load_section("plume", PlumeParams)
    if params.source == "synthetic":
        make_scenes(params, OUT)
        return
    index = ingest_folder(Path(params.source), params, OUT)
    print(f"{len(index.scenes):,} flightlines of {params.source}")
    for count, what in [*((n, name) for name, n in index.counts.items()),
                        *((n, f"left out: {reason}") for reason, n in index.skipped.items())]:  # fmt: skip
        print(f"{count:,} {what}")


if __name__ == "__main__":
    run_stage(main)
