"""Small scenes whose pixels tell where they are from: band 1 the row, band 2 the column, band 3 the scene."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np

from earthsignals.clouds.imagery.index import Entry, split_days, write_index
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import TRUTH, TRUTH_STEP, Scene, write_scene
from earthsignals.clouds.params import CloudsParams

TILE_PX, TILE_KM = 32, 50.0
PARAMS = CloudsParams.model_validate({
    "grid": {"tile_px": TILE_PX, "tile_km": TILE_KM},
    "scenes": {"size_px": 96},
    "network": {"architecture": "resnet18", "padding": "zero", "scattering": False},
    "triplets": {
        "train": 60, "validation": 12, "study": 20, "validation_fraction": 0.2, "study_fraction": 0.3,
    },
})  # fmt: skip
START = dt.datetime(2020, 3, 1, 15, tzinfo=dt.UTC)


def with_triplets(**changed: object) -> CloudsParams:
    """PARAMS with other values in its section `triplets`."""
    triplets = PARAMS.triplets.model_copy(update=changed)
    return PARAMS.model_copy(update={"triplets": triplets})


def make_scene(number: int, shape: tuple[int, int] = (96, 96), *, series: bool = False) -> Scene:
    """Scene `number`: two of each day, two hours and eight degrees apart."""
    after = dt.timedelta(days=number // 2, hours=2 * (number % 2))
    rows, columns = np.indices(shape)
    values = np.stack([rows % 256, columns % 256, np.full(shape, number % 256)]).astype(np.uint8)
    blocks = tuple(-(-size // TRUTH_STEP) for size in shape)
    truth = {name: np.full(blocks, number + order / 10, np.float32) for order, name in enumerate(TRUTH)}
    plane = Plane.around(12 + 8 * (number % 2), -45, TILE_KM / TILE_PX, shape)
    return Scene(
        f"scene-{number:02d}", START + after, plane, values, np.ones(shape, bool),
        ("red", "green", "blue"), "visible", f"regime-{number % 3}", series, truth,
    )  # fmt: skip


def with_gaps(scene: Scene, missing: np.ndarray) -> Scene:
    """The scene with the pixels (H, W) bool missing."""
    valid = scene.valid & ~missing
    return Scene(
        scene.name, scene.time, scene.plane, np.where(valid, scene.values, 0).astype(np.uint8), valid,
        scene.bands, scene.product, scene.regime, scene.series, scene.truth,
    )  # fmt: skip


def write_scenes(
    folder: Path, scenes: int = 20, change: Callable[[Scene], Scene] = lambda scene: scene
) -> Path:
    """A folder of scenes and its index, days split as the parameters say; the last scene is of a series."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [change(make_scene(number, series=number == scenes - 1)) for number in range(scenes)]
    days = [scene.time.date().isoformat() for scene in made]
    split = split_days(days, PARAMS.triplets.validation_fraction, PARAMS.triplets.study_fraction, 0)
    entries = []
    for scene, day in zip(made, days, strict=True):
        write_scene(folder / f"{scene.name}.nc", scene)
        entries.append(Entry.of(scene, folder / f"{scene.name}.nc", split[day]))
    write_index(folder, entries, {"night": 2}, {})
    return folder
