"""seismic-pack: every usable record in one store, split by event and station; why others are not."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.seismic.dataset import pack
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.source import waveforms_of
from earthsignals.stage import run_stage
from earthsignals.storage import write_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")


def main() -> None:
    counts = pack(
        waveforms_of(DATA / "waveforms"), load_section("seismic", SeismicParams), DATA / "packed",
        REPORTS / "refused.csv", resume_root=Path(".resume/seismic-pack"),
    )  # fmt: skip
    write_json(REPORTS / "records.json", counts)


if __name__ == "__main__":
    run_stage(main)
