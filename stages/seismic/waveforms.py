"""seismic-waveforms: synthetic records as miniSEED, or a pointer to the user's own files."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.write import write_waveforms
from earthsignals.seismic.source import point_to
from earthsignals.stage import run_stage

OUT = Path("data/seismic/waveforms")


def main() -> None:
    params = load_section("seismic", SeismicParams)
    if params.source == "synthetic":
        write_waveforms(params, OUT)
        return
    for kind, files in point_to(Path(params.source), params.channels, OUT).items():
        print(f"{kind}: {files:,} files")


if __name__ == "__main__":
    run_stage(main)
