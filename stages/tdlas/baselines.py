"""tdlas-baselines: ridge, partial least squares and the course's CNN on the same scans."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.lines import read_lines
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.rivals import fit_rivals

DATASET = Path("data/tdlas/dataset.h5")


def main() -> None:
    params, settings = load_section("tdlas", TdlasParams), load_settings()
    deterministic(params.course.seed, settings.threads)
    lines = read_lines(Path("data/tdlas/lines.csv"))
    with (
        tracking.run("tdlas", "baselines", params.model_dump(mode="json"), settings, kind="training") as run,
        open_scans(DATASET) as file,
    ):
        run.log_dataset(DATASET)
        fit_rivals(
            file, lines, params, settings, Path("data/tdlas/baselines"),
            resume_root=Path(".resume/tdlas-baselines"), run=run,
        )  # fmt: skip


if __name__ == "__main__":
    run_stage(main)
