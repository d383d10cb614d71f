"""Known tiles, embeddings, maps and judgements to draw: six textures whose embedding is made, not learnt."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage

from earthsignals.clouds.figures.inputs import Inputs, SceneMap
from earthsignals.clouds.params import REGIMES, AugmentationParams

TILE_KM = 200.0
SIZES = {  # of the texture, across and along, in px of a tile of 64
    "sugar": (0.7, 0.7), "gravel": (2.0, 2.0), "fish": (2.0, 9.0), "flowers": (5.0, 5.0),
    "open-cells": (3.0, 3.0), "closed-cells": (3.5, 3.5),
}  # fmt: skip


def texture(regime: str, shape: tuple[int, int], rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """(H, W) in [0, 1]."""
    across, along = (scale * size for size in SIZES[regime])
    field = ndimage.gaussian_filter(rng.normal(size=shape), (across, along), mode="wrap")
    field /= field.std()
    if regime == "open-cells":
        field = np.abs(field) * -1 + 1
    if regime == "closed-cells":
        field = np.abs(field)
    clear = 0.0 if regime != "flowers" else 0.8
    return np.clip(0.25 + 0.45 * (field - clear), 0.08, 1)


def picture_of(texture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: white clouds over a dark blue sea."""
    sea, cloud = np.array([20, 40, 75]), np.array([245, 245, 245])
    return np.rint(sea + texture[..., None] * (cloud - sea)).astype(np.uint8)


def centres(dimension: int) -> np.ndarray:
    """(6, D) embeddings of pure regimes."""
    return 2.2 * np.random.default_rng(5).normal(size=(len(REGIMES), dimension))


def made_scene(
    number: int, dimension: int, *, size: int = 160, step: int = 8, hour: int | None = None
) -> SceneMap:
    """A scene that turns from one regime into another from west to east (over the hours, in a series)."""
    rng = np.random.default_rng([7, number])
    first, second = number % 6, (number + 1 if hour is None else number + 3) % 6
    if hour is not None:
        rng, first, second = np.random.default_rng([8, hour]), 0, 3
    x = np.linspace(0, 1, size)
    weight = np.tile(1 / (1 + np.exp(-8 * (x - 0.5))), (size, 1))
    if hour is not None:
        weight = np.full((size, size), hour / 11)
    mixed = (1 - weight) * texture(REGIMES[first], (size, size), rng) + weight * texture(
        REGIMES[second], (size, size), rng
    )
    km = TILE_KM / 64
    rows = np.arange(32, size - 31, step)
    at = weight[np.ix_(rows, rows)][..., None]
    pure = centres(dimension)
    values = (1 - at) * pure[first] + at * pure[second]
    values = values + 0.5 * ndimage.gaussian_filter(rng.normal(size=values.shape), (1.5, 1.5, 0))
    if number == 1:
        values[:3, :4] = np.nan
    day, clock = f"2020-02-{number + 1:02d}", 12 if hour is None else 6 + hour
    latitude, longitude = np.meshgrid(20 - rows * km / 111, -50 + rows * km / 105, indexing="ij")
    return SceneMap(
        f"scene-{number:02d}" if hour is None else f"series-{hour:02d}", f"{day}T{clock:02d}:00:00+00:00",
        picture_of(mixed), size * km, size * km, rows * km, (size - rows) * km, values.astype(np.float32),
        latitude, longitude,
    )  # fmt: skip


def made_inputs(
    tiles: int = 90, dimension: int = 12, pixels: int = 48, scenes: int = 3, hours: int = 5
) -> Inputs:
    """Inputs in which everything is there."""
    rng = np.random.default_rng(3)
    number = np.arange(tiles) % 6
    scale = rng.uniform(0.7, 1.4, tiles)
    images = np.stack([
        picture_of(texture(REGIMES[k], (pixels, pixels), rng, s)).transpose(2, 0, 1)
        for k, s in zip(number, scale, strict=True)
    ])  # fmt: skip
    direction = rng.normal(size=dimension)
    embedding = centres(dimension)[number] + 3 * np.log(scale)[:, None] * direction
    embedding = embedding + 2 * rng.normal(size=(tiles, dimension))
    table = pd.DataFrame({
        "scene": [f"scene-{k % 20:02d}" for k in range(tiles)], "time": "2020-02-01T12:00:00+00:00",
        "latitude": rng.uniform(10, 20, tiles), "longitude": rng.uniform(-60, -50, tiles),
        "regime": [REGIMES[k] for k in number], "scale_km": 40 * scale, "margin": rng.normal(3, 1, tiles),
    })  # fmt: skip
    return Inputs(
        table, images, embedding.astype(np.float32), TILE_KM,
        tuple(made_scene(k, dimension) for k in range(scenes)),
        tuple(made_scene(20, dimension, hour=h) for h in range(hours)),
        images[: 9 * (tiles // 18)].reshape(-1, 3, 3, pixels, pixels)[:8], AugmentationParams(),
        made_arrays(), made_metrics(), {"model": made_history()},
    )  # fmt: skip


def made_history() -> list[dict[str, float]]:
    rows = [(e, 1e-3 / (e + 1), 2.5 / (e + 1), 2.6 / (e + 1)) for e in range(6)]
    return [
        dict(zip(("epoch", "learning_rate", "train_loss", "validation_loss"), row, strict=True))
        for row in rows
    ]


def made_arrays() -> dict[str, np.ndarray]:
    """An evaluation of known numbers."""
    rng = np.random.default_rng(4)
    true = rng.uniform(20, 120, 300)
    shift = np.array([1, 2, 4, 8, 16, 32, 64]) * TILE_KM / 64
    moved = 1 - np.exp(-shift / 60)
    return {
        "confusion": np.diag([40, 38, 41, 30, 45, 44]) + rng.integers(0, 4, (6, 6)),
        "regression/log_scale/true": np.log(true),
        "regression/log_scale/predicted": np.log(true) + 0.15 * rng.normal(size=300),
        "regression/clustering/true": rng.uniform(0, 1, 300),
        "regression/clustering/predicted": np.full(300, 0.5),
        "shift/km": shift, "shift/distance": np.stack([moved, 0.9 * moved, 1.1 * moved], 1),
        "rotation/degrees": np.array([0.0, 45, 90, 180]),
        "rotation/distance": np.array([[0, 0, 0]] + [[0.3, 0.2, 0.4]] * 3),
        "brightness/shift": np.array([-0.2, 0, 0.2]),
        "brightness/distance": np.array([[0.2, 0.1, 0.3], [0, 0, 0], [0.2, 0.1, 0.3]]),
        "retrieval/precision_at_k": 0.9 - 0.005 * np.arange(50),
        "rows/classical/retrieval/precision_at_k": 0.7 - 0.005 * np.arange(50),
        "rows/classical/shift/distance": np.stack([1.2 * moved, moved, 1.3 * moved], 1),
    }  # fmt: skip


def made_metrics() -> dict[str, object]:
    names = ("model", "peer_triplet", "statistics", "spectrum", "organisation", "pca", "random_network")
    rows = {}
    for k, name in enumerate(names):
        rows[name] = {}
        for j, measure in enumerate(("probe", "map", "purity", "nmi", "triplet_accuracy", "r2_log_scale")):
            value = 0.93 - 0.08 * k - 0.01 * j
            rows[name] |= {measure: value, f"{measure}_low": value - 0.04, f"{measure}_high": value + 0.03}
    return {"rows": rows}
