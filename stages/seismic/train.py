"""seismic-train: the autoencoder with an ordered latent, from the linear solution on."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import open_store
from earthsignals.seismic.train import train_bottleneck
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
RESUME = Path(".resume/seismic-train")


def main() -> None:
    params, settings = load_section("seismic", SeismicParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    described = params.model_dump(mode="json")
    with tracking.run("seismic", "train", described, settings, kind="training") as run:
        run.log_dataset(DATA / "packed")
        store = open_store(DATA / "packed", corrupt=params.store.corrupt)
        trained = train_bottleneck(
            store, params, settings, DATA / "best_model.pt", resume_root=RESUME, run=run
        )
        write_json(REPORTS / "training_bottleneck.json", trained.history)
        attach(run, "training", lambda: training_curves(trained.history))
    trained.clear()


if __name__ == "__main__":
    run_stage(main)
