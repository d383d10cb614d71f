"""How alike tiles and places are: nearest neighbours, distances over a map, tiles on a grid of the plane."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from earthsignals.clouds.figures.inputs import SceneMap
from earthsignals.compute.seeds import philox


def neighbours(embedding: np.ndarray, scenes: np.ndarray, query: int, count: int) -> tuple[np.ndarray, ...]:
    """Positions and distances of the `count` tiles nearest to tile `query`, from other scenes alone.

    embedding: (n, D). scenes: (n,) names.
    """
    distance = np.linalg.norm(embedding - embedding[query], axis=1)
    others = np.flatnonzero(scenes != scenes[query])
    nearest = others[np.argsort(distance[others], kind="stable")[:count]]
    return nearest, distance[nearest]


def queries(regimes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of tiles to show neighbours of: drawn at random, every regime in its turn."""
    names = sorted(set(regimes))
    waiting = {
        name: philox(seed, "clouds-queries", k).permutation(np.flatnonzero(regimes == name)).tolist()
        for k, name in enumerate(names)
    }
    chosen: list[int] = []
    while len(chosen) < count and any(waiting.values()):
        for name in names:
            if waiting[name] and len(chosen) < count:
                chosen.append(waiting[name].pop())
    return np.array(sorted(chosen, key=lambda position: regimes[position]), np.int64)


def distance_map(scene: SceneMap, embedding: np.ndarray) -> np.ndarray:
    """Euclidean distance (R, C) of every window of a scene from one embedding (D,)."""
    return np.linalg.norm(scene.values - embedding, axis=-1)


def nearest_window(scene: SceneMap, x_km: float, y_km: float) -> tuple[int, int] | None:
    """Row and column of the window with an embedding whose centre is nearest; None where there is none."""
    away = (scene.x_km[None, :] - x_km) ** 2 + (scene.y_km[:, None] - y_km) ** 2
    away = np.where(np.isfinite(scene.values[..., 0]), away, np.inf)
    if not np.isfinite(away).any():
        return None
    row, column = np.unravel_index(away.argmin(), away.shape)
    return int(row), int(column)


def on_grid(plane: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tiles nearest to the points of a grid over the plane, none of them twice.

    The sum of squared distances, in cells, is the least that an assignment without repeats can have; points
    with no tile within a cell's width stay empty.

    Args:
        plane: (n, 2) places. rows, columns: of the grid, which spans the places.

    Returns:
        Position of the tile at each point (rows, columns), -1 where empty, from the top row down; and the
        coordinates (columns,) and (rows,) of the points.
    """
    low, high = plane.min(0), plane.max(0)
    step = np.maximum(high - low, 1e-12) / (columns, rows)
    x = low[0] + step[0] * (np.arange(columns) + 0.5)
    y = high[1] - step[1] * (np.arange(rows) + 0.5)
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    cost = cdist(points / step, plane / step, "sqeuclidean")
    # Beyond a cell's width every place is as good as none: such points must not push the others about.
    cost = np.minimum(cost, 1.0)
    point, tile = linear_sum_assignment(cost)
    found = np.full(len(points), -1, np.int64)
    near = cost[point, tile] < 1.0
    found[point[near]] = tile[near]
    return found.reshape(rows, columns), x, y


def apart(places: np.ndarray, order: np.ndarray, width: float, height: float) -> list[int]:
    """Of the positions in `order`, those whose boxes of this size around their places do not overlap."""
    kept: list[int] = []
    for position in order:
        away = np.abs(places[kept] - places[position])
        if not len(kept) or ((away[:, 0] >= width) | (away[:, 1] >= height)).all():
            kept.append(int(position))
    return kept
