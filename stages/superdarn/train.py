"""superdarn-train: the linear start and the network that corrects it."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json
from earthsignals.superdarn.grid import open_grid
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.train import train_forecast

DATA, REPORTS = Path("data/superdarn"), Path("reports/superdarn")
RESUME = Path(".resume/superdarn-train")


def main() -> None:
    params, settings = load_section("superdarn", SuperdarnParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    with tracking.run(
        "superdarn", "train", params.model_dump(mode="json"), settings, kind="training"
    ) as run:
        run.log_dataset(DATA / "grid.h5")
        trained = train_forecast(
            open_grid(DATA / "grid.h5"), params, settings, DATA / "best_model.pt", resume_root=RESUME, run=run
        )
        write_json(REPORTS / "training.json", trained.history)
        label = "MSE / that of damped persistence"
        attach(run, "training", lambda: training_curves(trained.history, loss_label=label))
    trained.clear()


if __name__ == "__main__":
    run_stage(main)
