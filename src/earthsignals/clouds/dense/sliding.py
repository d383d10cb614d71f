"""Windows cut out and embedded one by one: what the embedding of a window is, by definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.tiles.cutting import fill_gaps

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

CHUNK = 32
"""Tiles that are cut before they are run: so few that `embed_tiles` shows no bar beside the scene's."""


def cut_windows(scene: Scene, corners: np.ndarray, size: int) -> np.ndarray:
    """Tiles (M, 3, size, size) uint8 that begin at `corners` (M, 2), gaps filled as those of triplets are.

    A tile without a single known pixel is black.
    """
    tiles = np.zeros((len(corners), 3, size, size), np.uint8)
    for tile, (row, column) in zip(tiles, np.asarray(corners).tolist(), strict=True):
        window = (slice(row, row + size), slice(column, column + size))
        valid = scene.valid[window]
        if valid.any():
            tile[:] = fill_gaps(scene.values[:, *window], valid)
    return tiles


def embed_windows(model: EmbeddingModel, scene: Scene, corners: np.ndarray) -> np.ndarray:
    """Embeddings (M, D) float32 of the windows that begin at `corners` (M, 2), rows and columns of pixels."""
    from earthsignals.clouds.embedding import embed_tiles

    parts = [
        embed_tiles(model, cut_windows(scene, corners[start : start + CHUNK], model.grid.tile_px))
        for start in range(0, len(corners), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.network.embedding), np.float32)
