"""The windows of scenes that lie nearest to a given window in the space of embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.clouds.dense.shared import check_grid, embed_scene
from earthsignals.clouds.dense.sliding import cut_windows, embed_windows
from earthsignals.clouds.dense.windows import Windows
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel


@dataclass(frozen=True)
class Query:
    """The window that others are compared with."""

    scene: str
    time: str
    latitude: float
    longitude: float
    row: int
    column: int
    vector: np.ndarray
    """(D,) float32, as `comparable` makes it."""
    tile: np.ndarray
    """(3, P, P) uint8."""


@dataclass(frozen=True)
class Candidate:
    """A window and how far it is from the query."""

    scene: str
    time: str
    latitude: float
    longitude: float
    row: int
    column: int
    distance: float
    tile: np.ndarray
    file: str

    def row_of_table(self) -> dict[str, Any]:
        """Everything but the picture."""
        return {name: value for name, value in self.__dict__.items() if name != "tile"}


def normalised(model: EmbeddingModel) -> bool:
    """Was the model trained on directions of embeddings alone? The contrastive loss is."""
    return model.params.get("train", {}).get("loss", "contrastive") == "contrastive"


def comparable(model: EmbeddingModel, vectors: np.ndarray) -> np.ndarray:
    """Embeddings (..., D) whose Euclidean distances count."""
    if not normalised(model):
        return vectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def query_at(
    model: EmbeddingModel, scene: Scene, at: tuple[float, float], maximum_missing: float = 0.0
) -> Query:
    """The window centred (to a pixel) on a latitude and longitude.

    Raises EarthSignalsError where it reaches beyond the scene or has too many missing pixels.
    """
    check_grid(model, scene)
    size = model.grid.tile_px
    Windows.of(scene.plane.shape, size, 1, f"scene {scene.name}")
    where = f"the window of {model.grid.tile_km:g} km around {at[0]:g}, {at[1]:g}"
    centre = np.array(scene.plane.locate(*at))
    corner = np.round(centre - (size - 1) / 2)
    if (
        not np.isfinite(corner).all()
        or (corner < 0).any()
        or (corner > np.array(scene.plane.shape) - size).any()
    ):
        raise EarthSignalsError(
            f"{where} reaches beyond scene {scene.name}, {_extent(scene, size)}; choose another point"
        )
    row, column = corner.astype(int).tolist()
    missing = 1 - scene.valid[row : row + size, column : column + size].mean()
    if missing > maximum_missing:
        raise EarthSignalsError(
            f"{where} lacks {missing:.1%} of its pixels in scene {scene.name}, expected at most "
            f"{maximum_missing:.1%}; choose another point"
        )
    corners = np.array([[row, column]])
    vector = comparable(model, embed_windows(model, scene, corners))[0]
    latitude, longitude = scene.plane.geolocate(row + (size - 1) / 2, column + (size - 1) / 2)
    return Query(
        scene.name, scene.time.isoformat(), latitude, longitude, row, column, vector,
        cut_windows(scene, corners, size)[0],
    )  # fmt: skip


def _extent(scene: Scene, size: int) -> str:
    margin, (rows, columns) = (size - 1) / 2, scene.plane.shape
    south, west = scene.plane.geolocate(rows - 1 - margin, margin)
    north, east = scene.plane.geolocate(margin, columns - 1 - margin)
    return f"whose windows' centres lie within about {south:.1f}…{north:.1f}° N, {west:.1f}…{east:.1f}° E"


def candidates(
    model: EmbeddingModel,
    scene: Scene,
    query: Query,
    step_px: int,
    count: int,
    maximum_missing: float,
    file: Path,
) -> list[Candidate]:
    """The `count` nearest windows of a scene; no two overlap, nor does one the query if it is its scene."""
    dense = embed_scene(model, scene, step_px, maximum_missing=maximum_missing, quiet=True)
    far = np.linalg.norm(comparable(model, dense.values) - query.vector, axis=-1)
    row, column = dense.windows.row, dense.windows.column
    if (scene.name, scene.time.isoformat()) == (query.scene, query.time):
        far[_overlapping(row, column, query.row, query.column, dense.windows.size)] = np.nan
    latitude, longitude = dense.plane.geolocate(*np.indices(far.shape))
    found = []
    while len(found) < count and np.isfinite(far).any():
        down, across = np.unravel_index(np.nanargmin(far), far.shape)
        corner = int(row[down]), int(column[across])
        found.append(Candidate(
            scene.name, scene.time.isoformat(), float(latitude[down, across]), float(longitude[down, across]),
            *corner, float(far[down, across]), cut_windows(scene, np.array([corner]), dense.windows.size)[0],
            file.as_posix(),
        ))  # fmt: skip
        far[_overlapping(row, column, *corner, dense.windows.size)] = np.nan
    return found


def choose(found: Iterable[Candidate], count: int) -> list[Candidate]:
    """The nearest of all scenes' candidates; equal distances by place."""
    return sorted(found, key=lambda each: (each.distance, each.scene, each.row, each.column))[:count]


def _overlapping(rows: np.ndarray, columns: np.ndarray, row: int, column: int, size: int) -> np.ndarray:
    """Which windows (rows, columns) share pixels with the one at (row, column): bool."""
    return (np.abs(rows - row) < size)[:, None] & (np.abs(columns - column) < size)[None]
