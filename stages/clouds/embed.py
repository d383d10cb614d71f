"""clouds-embed: embeddings of all tiles, dense maps of study scenes and the series, the projector's files."""

from pathlib import Path

import numpy as np

from earthsignals import tracking
from earthsignals.clouds.checkpoint import load_model
from earthsignals.clouds.embeddings import embed_triplets, export_projector, write_embeddings
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.predict import map_scenes, place
from earthsignals.clouds.tiles.tilefile import open_triplets
from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file

DATA = Path("data/clouds")


def main() -> None:
    params, settings = load_section("clouds", CloudsParams), load_settings()
    deterministic(params.train.seed, settings.threads)
    model = load_model(DATA / "best_model.pt")
    place(model, settings)
    with tracking.run("clouds", "embed", params.model_dump(mode="json"), settings) as run:
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "clouds")
        run.set_tags({"training_run": trained_by or "not in this store", "model_md5": model.md5})
        triplets = open_triplets(DATA / "triplets.h5")
        table, vectors = embed_triplets(triplets, model)
        write_embeddings(DATA / "embeddings.parquet", table, vectors, {"model_md5": model.md5})
        study = np.flatnonzero(table["split"] == "study")
        points = export_projector(
            DATA / "projector", table.iloc[study], vectors[study], triplets.images("study")
        )
        counts = map_scenes(DATA / "scenes", model, params, DATA / "maps", settings)
        run.log_metrics({"tiles": len(table), "projector_points": points, **counts})


if __name__ == "__main__":
    run_stage(main)
