"""seismic-evaluate: every network beside its baselines; the only writer of metrics.json."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.results import save_arrays
from earthsignals.seismic.checkpoint import load_model
from earthsignals.seismic.embeddings import export
from earthsignals.seismic.evaluate import evaluate
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import open_store
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file, write_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
MODELS = {"bottleneck": "best_model.pt", "denoiser": "denoiser.pt", "seed": "seed.pt"}


def main() -> None:
    params, settings = load_section("seismic", SeismicParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    models = {name: load_model(DATA / file, name) for name, file in MODELS.items()}
    with tracking.run(
        "seismic", "evaluate", params.model_dump(mode="json"), settings, kind="evaluation"
    ) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / MODELS["bottleneck"]), "seismic")
        run.set_tags({"training_run": trained_by or "not in this store"})
        run.log_dataset(DATA / "packed", context="evaluation")
        store = open_store(DATA / "packed", corrupt=params.store.corrupt)
        found = evaluate(store, **models, params=params, settings=settings)
        write_json(REPORTS / "metrics.json", found.metrics)
        save_arrays(DATA / "evaluation.h5", found.arrays)
        judged = store.metadata.loc[found.arrays["records/row"]]
        export(DATA / "embeddings.parquet", judged, found.arrays["embedding/latent"])
        run.log_metrics({k: v for k, v in found.metrics.items() if isinstance(v, float)})
        run.log_artifact(REPORTS / "metrics.json")


if __name__ == "__main__":
    run_stage(main)
