"""From the files of the stages to what is drawn.

Embeddings are brought into the space that retrieval and clusters are judged in (`judging.space`):
standardised by the training anchors, at length one. Figures, pages and metrics speak of the same distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from earthsignals.clouds.dense.fields import read_map
from earthsignals.clouds.embeddings import read_embeddings
from earthsignals.clouds.figures.inputs import LARGEST_PICTURE, MOST, Inputs, SceneMap, evenly, thumbnail
from earthsignals.clouds.figures.triplets import SHOWN as EXAMPLES
from earthsignals.clouds.imagery.index import Entry, read_index
from earthsignals.clouds.imagery.scene import read_scene
from earthsignals.clouds.judging.space import Scaling
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.tilefile import ROLES, Triplets, open_triplets
from earthsignals.results import read_arrays
from earthsignals.storage import EarthSignalsError, read_json

History = Sequence[Mapping[str, float]]


def read_inputs(data: Path, reports: Path, params: CloudsParams) -> Inputs:
    """What the stages left below `data/clouds` and `reports/clouds`.

    Raises EarthSignalsError where a file is missing, or is not of the same triplets as another.
    """
    triplets = open_triplets(data / "triplets.h5", verify=False)
    table, vectors = read_embeddings(data / "embeddings.parquet")
    _check(table, triplets, data)
    scaling = Scaling.fit(vectors[((table["split"] == "train") & (table["role"] == ROLES[0])).to_numpy()])
    study = np.flatnonzero(table["split"] == "study")
    tiles = _anchors(table.iloc[study].drop(columns="geometry"), scaling.directions(vectors[study]))
    shown = evenly(len(tiles), MOST)
    tiles = tiles.iloc[shown].reset_index(drop=True)
    examples = triplets.images("train")
    some = evenly(triplets.count("train"), EXAMPLES)
    maps, series = read_maps(data / "scenes", data / "maps", scaling)
    return Inputs(
        tiles, np.asarray(triplets.images("study")[tiles["tile"].to_numpy()]),
        scaling.directions(vectors[study][tiles["position"].to_numpy()]).astype(np.float32), triplets.tile_km,
        maps, series,
        np.stack([examples[len(ROLES) * k : len(ROLES) * (k + 1)] for k in some]) if len(some) else None,
        params.augmentation, read_arrays(data / "evaluation.h5"), read_json(reports / "metrics.json"),
        _histories(data / "peers", reports, params), params.evaluate.seed,
    )  # fmt: skip


def read_maps(
    scenes: Path, maps: Path, scaling: Scaling
) -> tuple[tuple[SceneMap, ...], tuple[SceneMap, ...]]:
    """The mapped scenes of the study split, and those of the series by time."""
    index = read_index(scenes)
    mapped = [entry for entry in index.entries if (maps / f"{entry.name}.nc").is_file()]
    judged = [_scene_map(entry, scenes, maps, scaling) for entry in mapped if not entry.series]
    series = [_scene_map(entry, scenes, maps, scaling) for entry in mapped if entry.series]
    regime = {entry.name: entry.regime for entry in mapped}
    judged.sort(key=lambda scene: (regime[scene.name], scene.name))
    return tuple(judged), tuple(sorted(series, key=lambda scene: scene.time))


def _scene_map(entry: Entry, scenes: Path, maps: Path, scaling: Scaling) -> SceneMap:
    scene, dense = read_scene(scenes / entry.file), read_map(maps / f"{entry.name}.nc")
    values = np.asarray(dense.values)
    flat = scaling.directions(values.reshape(-1, values.shape[-1])).reshape(values.shape)
    picture = scene.values.transpose(1, 2, 0)
    if max(picture.shape[:2]) > LARGEST_PICTURE:
        picture = thumbnail(picture, LARGEST_PICTURE)
    rows, columns = scene.plane.shape
    longitude, latitude = dense.plane.lonlat()
    bottom = scene.plane.top_km - rows * scene.plane.pixel_km
    return SceneMap(
        entry.name, scene.time.isoformat(), np.ascontiguousarray(picture), columns * scene.plane.pixel_km,
        rows * scene.plane.pixel_km, dense.plane.x_m() / 1000 - scene.plane.left_km,
        dense.plane.y_m() / 1000 - bottom, flat.astype(np.float32), latitude, longitude,
    )  # fmt: skip


def _anchors(table: pd.DataFrame, directions: np.ndarray) -> pd.DataFrame:
    """The anchors among a split's tiles, with `position` in the split and the `margin` of their triplets."""
    anchor, neighbour, distant = directions.reshape(-1, len(ROLES), directions.shape[-1]).swapaxes(0, 1)
    near, far = (np.linalg.norm(anchor - other, axis=1) for other in (neighbour, distant))
    position = np.arange(0, len(table), len(ROLES))
    return table.iloc[position].assign(position=position, margin=far - near)


def _check(table: pd.DataFrame, triplets: Triplets, data: Path) -> None:
    for split in triplets.splits:
        own = table[table["split"] == split]
        if len(own) != len(triplets.table(split)) or not (
            own["scene"].to_numpy() == triplets.table(split)["scene"].to_numpy()
        ).all():
            raise EarthSignalsError(
                f"{data / 'embeddings.parquet'}: its {split} tiles are not those of {triplets.path}; run "
                "`dvc repro clouds-embed`"
            )


def _histories(peers: Path, reports: Path, params: CloudsParams) -> dict[str, History]:
    """Of the model, and of each peer that is there."""
    found: dict[str, History] = {"model": read_json(reports / "training.json")}
    for loss in params.peers.losses:
        path = peers / f"{loss}.json"
        if path.is_file():
            found[f"peer_{loss}"] = read_json(path)
    return found
