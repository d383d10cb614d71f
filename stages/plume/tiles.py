"""plume-tiles: windows with and without plumes, cut from the flightlines or brought in from a manifest."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.plume.dataset import make_tiles, make_tiles_of_manifest
from earthsignals.plume.imagery.index import read_index
from earthsignals.plume.imagery.manifest import holds_manifest
from earthsignals.plume.params import PlumeParams
from earthsignals.stage import run_stage

SCENES = Path("data/plume/scenes")
OUT = Path("data/plume/tiles.h5")


def main() -> None:
    params = load_section("plume", PlumeParams)
    source = Path(params.source)
    if params.source != "synthetic" and holds_manifest(source):
        counts = make_tiles_of_manifest(source, params, OUT)
    else:
        counts = make_tiles(read_index(SCENES), params, OUT)
    for window, splits in counts["tiles"].items():
        for split, kinds in splits.items():
            told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
            print(f"window {window}, {split}: {told}")
        left_out = counts["left_out"][window]
        if left_out:
            told = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
            print(f"window {window}, places not taken: {told}")
    if changed := counts.get("published split not followed"):
        print(f"{changed:,} tiles are in another split than the published tables say: days stay together")


if __name__ == "__main__":
    run_stage(main)
