"""seismic-denoiser: the network that masks noise."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.seismic.denoiser_recipe import train_denoiser
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import open_store
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
RESUME = Path(".resume/seismic-denoiser")


def main() -> None:
    params, settings = load_section("seismic", SeismicParams), load_settings()
    deterministic(params.denoiser.seed, settings.threads)
    described = params.model_dump(mode="json")
    with tracking.run("seismic", "denoiser", described, settings, kind="training") as run:
        run.log_dataset(DATA / "packed")
        store = open_store(DATA / "packed", corrupt=params.store.corrupt)
        trained = train_denoiser(
            store, params, settings, DATA / "denoiser.pt", resume_root=RESUME, run=run
        )
        write_json(REPORTS / "training_denoiser.json", trained.history)
        attach(run, "training", lambda: training_curves(trained.history, loss_label="minus the gain [dB]"))
    trained.clear()


if __name__ == "__main__":
    run_stage(main)
