"""plume-evaluate: all methods on test days, at validation's thresholds; the only writer of metrics.json."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach
from earthsignals.params import load_section
from earthsignals.plume.checkpoint import load_model
from earthsignals.plume.dataset import open_tiles
from earthsignals.plume.evaluate import evaluate
from earthsignals.plume.figures import curves
from earthsignals.plume.imagery.index import read_index
from earthsignals.plume.judging.tables import COLUMNS, detection_rows
from earthsignals.plume.params import PlumeParams
from earthsignals.results import save_arrays, write_rows
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file, read_json, write_json

DATA, REPORTS = Path("data/plume"), Path("reports/plume")


def main() -> None:
    params, settings = load_section("plume", PlumeParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    model = load_model(DATA / "best_model.pt")
    peers = {path.stem: load_model(path) for path in sorted((DATA / "peers").glob("*.pt"))}
    with tracking.run(
        "plume", "evaluate", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "plume")
        run.set_tags({"training_run": trained_by or "not in this store"})
        run.log_dataset(DATA / "tiles.h5", context="evaluation")
        found = evaluate(
            open_tiles(DATA / "tiles.h5"), read_index(DATA / "scenes"), DATA / "saliency",
            read_json(DATA / "saliency/plumes.json"), model, peers, params,
        )  # fmt: skip
        write_json(REPORTS / "metrics.json", found.metrics)
        write_rows(REPORTS / "detection.csv", detection_rows(found.arrays), COLUMNS)
        save_arrays(DATA / "evaluation.h5", found.arrays)
        run.log_metrics({k: v for k, v in found.metrics.items() if isinstance(v, float)})
        run.log_artifact(REPORTS / "metrics.json")
        run.log_artifact(REPORTS / "detection.csv")
        attach(run, "curves", lambda: curves(found.arrays))


if __name__ == "__main__":
    run_stage(main)
