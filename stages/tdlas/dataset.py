"""tdlas-dataset: simulated scans, or measured ones brought into the same form."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.stage import run_stage
from earthsignals.tdlas.dataset import generate
from earthsignals.tdlas.ingest import ingest
from earthsignals.tdlas.lines import read_lines
from earthsignals.tdlas.params import TdlasParams

OUT = Path("data/tdlas/dataset.h5")


def main() -> None:
    params = load_section("tdlas", TdlasParams)
    lines = read_lines(Path("data/tdlas/lines.csv"))
    if params.dataset.source == "simulated":
        generate(lines, params, OUT, resume_root=Path(".resume/tdlas-dataset"))
    else:
        counts = ingest(Path(params.dataset.source), params, lines, OUT)
        print(", ".join(f"{name}: {count:,}" for name, count in counts.items()))


if __name__ == "__main__":
    run_stage(main)
