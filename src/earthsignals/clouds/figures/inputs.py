"""What figures and pages are drawn from: tiles with their embeddings, dense maps of scenes, judgements.

Tiles are the anchors of the study split, at most MOST of them, evenly chosen of more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from earthsignals import results
from earthsignals.clouds.figures.planes import Planes
from earthsignals.clouds.figures.tree import Tree
from earthsignals.clouds.params import AugmentationParams
from earthsignals.figures import COLOURS
from earthsignals.results import MissingData

MOST = 500
"""Tiles shown: more make neither a plane nor a page easier to read."""
LARGEST_PICTURE = 768
"""Longer edge of a scene's picture in pixels."""
REGIME_COLOURS = {
    "sugar": COLOURS["sky"], "gravel": COLOURS["orange"], "fish": COLOURS["blue"],
    "flowers": COLOURS["vermillion"], "open-cells": COLOURS["green"], "closed-cells": COLOURS["purple"],
}  # fmt: skip
UNKNOWN = "#777777"

take = partial(results.take, needs="`dvc repro clouds-evaluate` writes it where the scenes allow")


@dataclass(frozen=True)
class SceneMap:
    """A scene's picture and the dense embedding over it.

    picture: (h, w, 3) uint8. width_km, height_km: of the scene. x_km: (C,) and y_km: (R,) centres of the
    windows, east of the scene's western edge and north of its southern one. values: (R, C, D) float32, NaN
    where a window had too many missing pixels. latitude, longitude: (R, C) degrees.
    """

    name: str
    time: str
    picture: np.ndarray
    width_km: float
    height_km: float
    x_km: np.ndarray
    y_km: np.ndarray
    values: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of the picture in km."""
        return 0.0, self.width_km, 0.0, self.height_km

    @property
    def cells(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of the map's cells in km: half a step around the centres of windows."""
        half_x, half_y = (step / 2 for step in self.steps)
        return (
            float(self.x_km[0] - half_x), float(self.x_km[-1] + half_x),
            float(self.y_km[-1] - half_y), float(self.y_km[0] + half_y),
        )  # fmt: skip

    @property
    def steps(self) -> tuple[float, float]:
        """From a window to the next, km eastwards and southwards; a single one takes the whole scene."""
        across = self.x_km[1] - self.x_km[0] if len(self.x_km) > 1 else self.width_km
        down = self.y_km[0] - self.y_km[1] if len(self.y_km) > 1 else self.height_km
        return float(across), float(down)

    @property
    def moment(self) -> str:
        """Day and time to the minute, UTC."""
        return self.time[:16].replace("T", " ")

    def piece(self, row: int, column: int, tile_km: float) -> np.ndarray:
        """The window's part of the picture, (p, p, 3) uint8."""
        h, w = self.picture.shape[:2]
        km = self.width_km / w
        edge = max(round(tile_km / km), 1)
        left = round(self.x_km[column] / km - edge / 2)
        top = round((self.height_km - self.y_km[row]) / km - edge / 2)
        left, top = min(max(left, 0), max(w - edge, 0)), min(max(top, 0), max(h - edge, 0))
        return self.picture[top : top + edge, left : left + edge]


@dataclass(frozen=True)
class Inputs:
    """Everything that is drawn.

    tiles: one row per tile; columns scene, time, latitude, longitude, regime, margin (distance to the distant
    tile of its triplet minus distance to the neighbour) and the truth where it is known. images: (n, 3, P, P)
    uint8. embedding: (n, D) float32. maps: scenes of the study split. series: scenes hour by hour. examples:
    (k, 3, 3, P, P) uint8, anchor, neighbour and distant tile of a few training triplets. arrays:
    `evaluation.h5`. metrics: `metrics.json`. histories: of each training, one row per epoch.
    """

    tiles: pd.DataFrame
    images: np.ndarray
    embedding: np.ndarray
    tile_km: float
    maps: tuple[SceneMap, ...] = ()
    series: tuple[SceneMap, ...] = ()
    examples: np.ndarray | None = None
    augmentation: AugmentationParams | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    seed: int = 0

    @cached_property
    def planes(self) -> Planes:
        """Two-dimensional views of the tiles' embeddings."""
        self.need_tiles()
        return Planes(np.asarray(self.embedding, np.float64), self.seed)

    @cached_property
    def tree(self) -> Tree:
        """Ward's tree of the tiles."""
        self.need_tiles()
        return Tree.of(np.asarray(self.embedding, np.float64))

    @cached_property
    def pair_distance(self) -> float:
        """Median distance of two of the tiles: what distances are compared with."""
        self.need_tiles()
        from scipy.spatial.distance import pdist

        return float(np.median(pdist(np.asarray(self.embedding, np.float64)))) or 1.0

    @property
    def regimes(self) -> list[str]:
        """Names of the regimes, in the order of the legend; "" where a tile's is unknown."""
        found = set(self.tiles["regime"])
        return [*(r for r in REGIME_COLOURS if r in found), *sorted(found - set(REGIME_COLOURS))]

    @property
    def colours(self) -> list[str]:
        """Colour of each tile's regime."""
        return [colour_of(regime) for regime in self.tiles["regime"]]

    def need_tiles(self, least: int = 3) -> None:
        """Raises MissingData where there are fewer tiles than a picture can be made of."""
        if len(self.tiles) < least:
            raise MissingData(f"{len(self.tiles)} study tiles are fewer than the {least} that it takes")

    def need_maps(self) -> tuple[SceneMap, ...]:
        """The maps. Raises MissingData where there are none."""
        if not self.maps:
            raise MissingData("no study scene was mapped (clouds.embed.scenes)")
        return self.maps


def colour_of(regime: str) -> str:
    """Colour of a regime in every figure and page."""
    return REGIME_COLOURS.get(regime, UNKNOWN)


def named(regime: str) -> str:
    """What a regime is called in legends."""
    return regime.replace("-", " ") if regime else "not known"


def thumbnail(image: np.ndarray, pixels: int) -> np.ndarray:
    """A tile (3, P, P) uint8 as (pixels, pixels, 3) uint8, or an (h, w, 3) one with its longer edge so."""
    picture = image.transpose(1, 2, 0) if image.shape[0] == 3 and image.shape[-1] != 3 else image
    h, w = picture.shape[:2]
    scale = pixels / max(h, w)
    size = (max(round(w * scale), 1), max(round(h * scale), 1))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS))


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` of `count` positions, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
