"""tdlas-train: the default network."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.lines import read_lines
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.train import train

DATASET = Path("data/tdlas/dataset.h5")


def main() -> None:
    params, settings = load_section("tdlas", TdlasParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    lines = read_lines(Path("data/tdlas/lines.csv"))
    with (
        tracking.run("tdlas", "train", params.model_dump(mode="json"), settings, kind="training") as run,
        open_scans(DATASET) as file,
    ):
        run.log_dataset(DATASET)
        history = train(
            file, lines, params, settings, Path("data/tdlas/best_model.pt"),
            resume_root=Path(".resume/tdlas-train"), run=run,
        )  # fmt: skip
        write_json(Path("reports/tdlas/training.json"), history)
        attach(run, "training", lambda: training_curves(history))


if __name__ == "__main__":
    run_stage(main)
