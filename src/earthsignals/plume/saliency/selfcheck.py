"""A finished map against the sliding window, at random pixels, before it may take its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from earthsignals.compute.seeds import philox
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.networks.dense import margins
from earthsignals.plume.saliency.devices import exact_arithmetic
from earthsignals.plume.saliency.partial import NODATA
from earthsignals.plume.saliency.strips import Block, Scene, read_padded
from earthsignals.storage import EarthSignalsError

TOLERANCE = 1e-5  # of a probability
SEED = 33
_ROWS = 256  # of the map in memory at once
_WINDOWS = 8


class SelfCheckError(EarthSignalsError):
    """A map that is not what the sliding window gives."""


def check_pixels(
    path: Path, scene: Scene, model: SaliencyModel, pixels: int, device: torch.device
) -> tuple[int, float]:
    """Recompute `pixels` random valid pixels of the binary map at `path` (float32, −9999 where invalid).

    Each window is cut from the scene by itself and goes through the classifier as it was trained, on
    `device`: nothing of the way to the map is used again. The choice of pixels repeats itself.

    Returns how many were checked (all, if the map has fewer valid ones) and the largest difference of
    probability. Raises SelfCheckError where it exceeds 1e-5.
    """
    rows, columns, mapped = _random_pixels(path, scene.shape, pixels)
    network, halo = model.network.to(device), margins(model.window)
    found = np.empty_like(mapped)
    with exact_arithmetic(), torch.inference_mode():
        for start in range(0, len(rows), _WINDOWS):
            some = slice(start, start + _WINDOWS)
            windows = [
                read_padded(scene, Block(r, r + 1, c, c + 1), halo, model.preprocessing)[0]
                for r, c in zip(rows[some].tolist(), columns[some].tolist(), strict=True)
            ]
            logits = network(torch.from_numpy(np.stack(windows)).unsqueeze(1).to(device))
            found[some] = model.probability(logits.cpu().numpy())
    model.network.to("cpu")
    difference = np.abs(found.astype(np.float64) - mapped)
    if not len(difference):
        return 0, 0.0
    worst = int(difference.argmax())
    if not difference[worst] <= TOLERANCE:
        raise SelfCheckError(
            f"the map differs from the sliding window by {difference[worst]:.2g} in probability at line "
            f"{rows[worst]}, sample {columns[worst]} ({mapped[worst]:.6f} instead of {found[worst]:.6f}; "
            f"up to {TOLERANCE:g} is rounding), so it is refused: use --mode sliding, and report this"
        )
    return len(difference), float(difference[worst])


def _random_pixels(
    path: Path, shape: tuple[int, int], pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of `pixels` different valid pixels, each as likely as any other."""
    lines, samples = shape
    counts = np.concatenate(
        [
            (_map_rows(path, samples, top, min(_ROWS, lines - top)) != NODATA).sum(axis=1)
            for top in range(0, lines, _ROWS)
        ]
    )
    before = np.concatenate([[0], np.cumsum(counts)])
    total = int(before[-1])
    generator = philox(SEED, "plume-self-check")
    ranks = np.sort(generator.choice(total, min(pixels, total), replace=False)) if total else np.empty(0, int)
    rows = np.searchsorted(before, ranks, side="right") - 1
    columns, values = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for n, (row, rank) in enumerate(zip(rows.tolist(), ranks.tolist(), strict=True)):
        line = _map_rows(path, samples, row, 1)[0]
        columns[n] = np.flatnonzero(line != NODATA)[rank - before[row]]
        values[n] = line[columns[n]]
    return rows, columns, values


def _map_rows(path: Path, samples: int, top: int, rows: int) -> np.ndarray:
    return np.fromfile(path, "<f4", rows * samples, offset=4 * top * samples).reshape(rows, samples)
