"""Tiles cut from a scene as whole-pixel windows of its plane, gaps filled, with what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.tiles.tilefile import KNOWN

DECIMALS = 6
"""Of degrees and of known truths: so many are the same on every machine (1e-6° is 0.1 m)."""


@dataclass(frozen=True, eq=False)
class Cut:
    """Tiles (n, 3, P, P) uint8 of a scene; `known`: (n,) float64 each, by the columns of the table."""

    tiles: np.ndarray
    known: dict[str, np.ndarray]


def cut(scene: Scene, corners: np.ndarray, edge: int) -> Cut:
    """Cut tiles of `edge` pixels whose upper left pixels are `corners`, (n, 2) rows and columns.

    known: latitude and longitude of the centres, share of missing pixels, and the truths of a synthetic
    scene (else NaN). All tiles lie within the scene.
    """
    corners = np.asarray(corners, np.int64).reshape(-1, 2)
    tiles = np.empty((len(corners), 3, edge, edge), np.uint8)
    missing = np.empty(len(corners), np.int64)
    truths = []
    for place, (row, column) in enumerate(corners.tolist()):
        window = (slice(row, row + edge), slice(column, column + edge))
        valid = scene.valid[window]
        tiles[place] = fill_gaps(scene.values[:, *window], valid)
        missing[place] = valid.size - np.count_nonzero(valid)
        truths.append(scene.truth_of(row, column, edge))
    centre = corners + (edge - 1) / 2
    latitude, longitude = scene.plane.geolocate(centre[:, 0], centre[:, 1])
    known = {
        "latitude": np.round(latitude, DECIMALS),
        "longitude": np.round(longitude, DECIMALS),
        "missing_share": missing / edge**2,
    }
    for name in KNOWN:
        known[name] = np.round(np.array([truth[name] for truth in truths], np.float64), DECIMALS)
    return Cut(tiles, known)


def fill_gaps(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Values (3, H, W) uint8 whose missing pixels take their band's mean over the others, rounded.

    valid: (H, W) bool, of which at least one is True. Integers throughout: the same on every machine.
    """
    known = int(np.count_nonzero(valid))
    if known == valid.size:
        return values
    totals = values[:, valid].sum(axis=1, dtype=np.int64)
    means = ((2 * totals + known) // (2 * known)).astype(np.uint8)
    return np.where(valid, values, means[:, None, None])
