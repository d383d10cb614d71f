"""plume-train: the default classifier, calibrated, and the peers that the parameters name."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach, training_curves
from earthsignals.params import load_section
from earthsignals.plume.dataset import open_tiles
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.train import train, train_peers
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json

TILES = Path("data/plume/tiles.h5")
RESUME = Path(".resume/plume-train")


def main() -> None:
    params, settings = load_section("plume", PlumeParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    with tracking.run("plume", "train", params.model_dump(mode="json"), settings, kind="training") as run:
        run.log_dataset(TILES)
        tiles = open_tiles(TILES)
        trained = train(
            tiles, params, settings, Path("data/plume/best_model.pt"), resume_root=RESUME, run=run
        )
        peers = train_peers(tiles, params, settings, Path("data/plume/peers"), resume_root=RESUME, run=run)
        write_json(Path("reports/plume/training.json"), trained.history)
        attach(run, "training", lambda: training_curves(trained.history))
    for one in (trained, *peers.values()):
        one.clear()


if __name__ == "__main__":
    run_stage(main)
