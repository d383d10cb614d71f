"""plume-saliency: maps and plumes of the flightlines of validation and test days."""

import shutil
from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.plume.checkpoint import load_model
from earthsignals.plume.imagery.index import read_index
from earthsignals.plume.judging.maps import map_scenes
from earthsignals.plume.params import PlumeParams
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, md5_file

DATA, RESUME = Path("data/plume"), Path(".resume/plume-saliency")


def main() -> None:
    params, settings = load_section("plume", PlumeParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    model = load_model(DATA / "best_model.pt")
    index = read_index(DATA / "scenes")
    with tracking.run("plume", "saliency", params.model_dump(mode="json"), settings) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "plume")
        run.set_tags({"training_run": trained_by or "not in this store", "model_md5": model.md5})
        with atomic_directory(DATA / "saliency") as out:
            content = map_scenes(index, model, params, out, RESUME)
        found = sum(len(scene["plumes"]) for scene in content["scenes"])
        run.log_metrics({"flightlines": len(content["scenes"]), "plumes": found})
    shutil.rmtree(RESUME, ignore_errors=True)  # the maps themselves are in place


if __name__ == "__main__":
    run_stage(main)
