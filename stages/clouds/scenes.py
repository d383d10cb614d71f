"""clouds-scenes: scenes on equal-area planes, simulated, fetched or read from a folder."""

from pathlib import Path

from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.source import prepare_scenes
from earthsignals.params import load_section
from earthsignals.stage import run_stage

OUT = Path("data/clouds/scenes")


def main() -> None:
    index = prepare_scenes(load_section("clouds", CloudsParams), OUT)
    for split in ("train", "validation", "study"):
        print(f"{split}: {len(index.of(split)):,} scenes")
    for reason, count in index.refused.items():
        print(f"refused, {reason}: {count:,}")


if __name__ == "__main__":
    run_stage(main)
