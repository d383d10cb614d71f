"""superdarn-evaluate: the forecast beside its baselines; the only writer of metrics.json."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.results import save_arrays
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file, write_json
from earthsignals.superdarn.checkpoint import load_model
from earthsignals.superdarn.evaluate import evaluate, scalars
from earthsignals.superdarn.grid import open_grid
from earthsignals.superdarn.judging.kept import write_forecasts
from earthsignals.superdarn.params import SuperdarnParams

DATA, REPORTS = Path("data/superdarn"), Path("reports/superdarn")


def main() -> None:
    params, settings = load_section("superdarn", SuperdarnParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    model = load_model(DATA / "best_model.pt")
    truth = DATA / "records" / "truth.h5"
    with tracking.run(
        "superdarn", "evaluate", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "superdarn")
        run.set_tags({"training_run": trained_by or "not in this store"})
        run.log_dataset(DATA / "grid.h5", context="evaluation")
        grid = open_grid(DATA / "grid.h5")
        found = evaluate(grid, model, params, settings, truth if truth.is_file() else None)
        write_json(REPORTS / "metrics.json", found.metrics)
        save_arrays(DATA / "evaluation.h5", found.arrays)
        write_forecasts(DATA / "forecasts", grid, model, found.forecasts)
        run.log_metrics(scalars(found.metrics))
        run.log_artifact(REPORTS / "metrics.json")


if __name__ == "__main__":
    run_stage(main)
