"""clouds-train: the embedding, and the peers with other losses that the parameters name."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.tilefile import open_triplets
from earthsignals.clouds.train import train_embedding, train_peers
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json

DATA, REPORTS = Path("data/clouds"), Path("reports/clouds")
RESUME = Path(".resume/clouds-train")


def main() -> None:
    params, settings = load_section("clouds", CloudsParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    with tracking.run("clouds", "train", params.model_dump(mode="json"), settings, kind="training") as run:
        run.log_dataset(DATA / "triplets.h5")
        triplets = open_triplets(DATA / "triplets.h5")
        trained = train_embedding(
            triplets, params, settings, DATA / "best_model.pt", resume_root=RESUME, run=run
        )
        peers = train_peers(triplets, params, settings, DATA / "peers", resume_root=RESUME, run=run)
        write_json(REPORTS / "training.json", trained.history)
        attach(run, "training", lambda: training_curves(trained.history))
    for one in (trained, *peers.values()):
        one.clear()


if __name__ == "__main__":
    run_stage(main)
