"""clouds-evaluate: the embedding beside its peers and baselines; the only writer of metrics.json."""

from pathlib import Path

from earthsignals.clouds.checkpoint import load_model

from earthsignals import tracking
from earthsignals.clouds.evaluate import evaluate
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.tilefile import open_triplets
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.results import save_arrays
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file, write_json

DATA, REPORTS = Path("data/clouds"), Path("reports/clouds")


def main() -> None:
    params, settings = load_section("clouds", CloudsParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    model = load_model(DATA / "best_model.pt")
    peers = {loss: load_model(DATA / "peers" / f"{loss}.pt") for loss in params.peers.losses}
    with tracking.run(
        "clouds", "evaluate", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "clouds")
        run.set_tags({"training_run": trained_by or "not in this store"})
        run.log_dataset(DATA / "triplets.h5", context="evaluation")
        found = evaluate(
            open_triplets(DATA / "triplets.h5"), DATA / "scenes", model, peers, params, settings
        )
        write_json(REPORTS / "metrics.json", found.metrics)
        save_arrays(DATA / "evaluation.h5", found.arrays)
        run.log_metrics({k: v for k, v in found.metrics.items() if isinstance(v, float)})
        run.log_artifact(REPORTS / "metrics.json")


if __name__ == "__main__":
    run_stage(main)
