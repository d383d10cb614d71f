"""clouds-triplets: anchor, neighbour and distant tiles cut from the scenes, split by day."""

from pathlib import Path

from earthsignals.clouds.dataset import make_triplets
from earthsignals.clouds.params import CloudsParams
from earthsignals.params import load_section
from earthsignals.stage import run_stage

DATA = Path("data/clouds")


def main() -> None:
    params = load_section("clouds", CloudsParams)
    triplets = make_triplets(DATA / "scenes", params, DATA / "triplets.h5")
    for split, counts in triplets.about["splits"].items():
        fewer = "" if counts["made"] == counts["asked"] else f" of the {counts['asked']:,} asked for"
        print(f"{split}: {counts['made']:,} triplets{fewer} from {counts['scenes']:,} scenes")
    for reason, number in triplets.dropped.items():
        print(f"{reason}: {number:,}")


if __name__ == "__main__":
    run_stage(main)
