"""Classical metrics of organisation of a tile's clouds, by cloudmetrics (Janssens et al. 2021).

Iorg (Weger et al. 1992) compares distances to nearest neighbours with those of random points: 1/2 for these,
more for clusters, less for regular patterns. SCAI (Tobin et al. 2012) grows with the number of objects and
their distances, COP (White et al. 2018) with their sizes over their distances. Further: box-counting
dimension of the clouds' edge, open sky (Antonissen 2018), number, mean and largest size and eccentricity of
objects, and alignment of the whole mask.

Each is taken of two masks: above Otsu's threshold, and the brightest quarter of the tile. The first knows
how much cloud there is, the second is free of where the threshold falls; together they do better than each
alone. Objects of fewer than SMALLEST pixels are noise. cloudmetrics' wavelet index is left out: it knows a
field by its address in memory and answers with the result of an earlier one that lay there.
"""

from __future__ import annotations

import numpy as np
from skimage.measure import label

from earthsignals.clouds.features.brightness import CHUNK, brightest_mask, chunks, grey, otsu_mask
from earthsignals.clouds.features.cloudmetrics_calls import METRICS, Objects, cloudmetrics, mended
from earthsignals.clouds.features.open_sky import open_sky
from earthsignals.compute.mapping import ordered_map

SMALLEST = 4
BRIGHTEST = 0.25
METRICS_OF_MASK = (
    "cloud_fraction", "iorg", "log_scai", "log_cop", "fractal_dimension", "open_sky", "log_open_sky",
    "log_objects", "log_mean_length", "log_largest_length", "eccentricity", "orientation",
)  # fmt: skip
NAMES = tuple(f"{mask}_{metric}" for mask in ("otsu", "brightest") for metric in METRICS_OF_MASK)


def organisation(images: np.ndarray) -> np.ndarray:
    """Tiles (N, 3, P, P) uint8 to the metrics of NAMES (N, F) float64; heavy-tailed ones as logarithms.

    NaN where a metric is not defined: Iorg, SCAI and COP of fewer than two objects, all of a tile without
    contrast. Impute with `imputation.Imputer`.
    """
    sizes = [min(CHUNK, len(images) - start) for start in range(0, len(images), CHUNK)]
    found = list(
        ordered_map(
            _chunk, chunks(images), description="organisation metrics", unit="tiles", sizes=sizes,
            inline=len(sizes) <= 4,  # starting workers takes longer
        )
    )  # fmt: skip
    return np.concatenate(found) if found else np.empty((0, len(NAMES)))


def _chunk(images: np.ndarray) -> np.ndarray:
    rows = []
    for tile in grey(images):
        rows.append(of_mask(otsu_mask(tile)) + of_mask(brightest_mask(tile, BRIGHTEST)))
    return np.array(rows, np.float64)


def of_mask(mask: np.ndarray) -> list[float]:
    """The METRICS_OF_MASK of a mask of cloud (P, P) bool."""
    nothing = float("nan")
    labels = _without_small(label(mask, connectivity=1))
    objects = Objects.of(labels)
    mask = labels > 0
    number = len(objects.area)
    if not number:
        return [0.0] + [nothing] * (len(METRICS_OF_MASK) - 1)
    length = np.sqrt(objects.area)
    open_share = open_sky(mask)
    iorg = scai = cop = nothing
    with mended(objects):
        if number > 1:
            iorg = METRICS.iorg(labels)
            scai = METRICS.scai(labels, reference_lengthscale=mask.shape[0])
            cop = METRICS.cop(labels)
        dimension = _fractal_dimension(mask)
        orientation = cloudmetrics.mask.orientation(mask.astype(np.int64))
    return [
        float(mask.mean()), float(iorg), float(np.log(scai)), float(np.log(cop)), dimension, open_share,
        float(np.log(open_share + 1 / mask.size)), float(np.log(number)), float(np.log(length.mean())),
        float(np.log(length.max())), float((objects.area * objects.eccentricity).sum() / objects.area.sum()),
        float(orientation),
    ]  # fmt: skip


def _without_small(labels: np.ndarray) -> np.ndarray:
    """Objects of fewer than SMALLEST pixels removed, the others numbered anew from 1."""
    large = np.bincount(labels.ravel()) >= SMALLEST
    large[0] = False
    return np.where(large, np.cumsum(large), 0)[labels]


def _fractal_dimension(mask: np.ndarray) -> float:
    """NaN where no box of some size holds an edge, and the logarithm of the count has no value."""
    if mask.all():
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(cloudmetrics.mask.fractal_dimension(mask))
    return value if np.isfinite(value) else float("nan")
