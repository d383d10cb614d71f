"""cloudmetrics 0.3 under today's numpy, and in a tenth of its time.

Its Iorg and its spectral moment integrate by `np.trapz`, which numpy 2.4 no longer has. Its metrics of
objects ask scikit-image for one property of one object after the other; areas and centroids of all objects at
once are sums over pixels. Both are mended for the length of a `with` block, and put back after it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cloudmetrics
import numpy as np

METRICS = cloudmetrics.objects.metrics
# The functions of the package hide the modules of the same names.
_MODULES = [sys.modules[f"{METRICS.__name__}.{name}"] for name in ("iorg", "scai", "cop")]


@dataclass(frozen=True)
class Objects:
    """Connected pieces of a mask: area (n,) in pixels, centroid (n, 2) row and column, eccentricity (n,)."""

    area: np.ndarray
    centroid: np.ndarray
    eccentricity: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Objects:
        """labels: (P, Q) integers, 0 for none, n for the nth object.

        The eccentricity is that of the ellipse with the same second moments (scikit-image's definition): 0
        for a disc, 1 for a line.
        """
        row, column = np.nonzero(labels)
        number = labels[row, column] - 1
        area = np.bincount(number).astype(np.float64)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.bincount(number, values, len(area)) / np.maximum(area, 1)

        centre = np.stack([mean(row), mean(column)], axis=1)
        down, across = row - centre[number, 0], column - centre[number, 1]
        vertical, horizontal, mixed = mean(down**2), mean(across**2), mean(down * across)
        half, root = (vertical + horizontal) / 2, np.hypot((vertical - horizontal) / 2, mixed)
        with np.errstate(invalid="ignore", divide="ignore"):
            eccentricity = np.sqrt(np.clip(1 - (half - root) / (half + root), 0, 1))
        return cls(area, centre, np.nan_to_num(eccentricity))


@contextmanager
def mended(objects: Objects | None = None) -> Iterator[None]:
    """Within: cloudmetrics works under numpy 2.4, and asks `Objects` for areas and centroids.

    objects: those of the one mask that is looked at within, if they are known.
    """

    def ask(object_labels: np.ndarray, property_name: str) -> np.ndarray:
        return getattr(Objects.of(object_labels) if objects is None else objects, property_name)

    had_trapz = hasattr(np, "trapz")
    before = [module._get_objects_property for module in _MODULES]
    if not had_trapz:
        np.trapz = np.trapezoid
    for module in _MODULES:
        module._get_objects_property = ask
    try:
        yield
    finally:
        if not had_trapz:
            del np.trapz
        for module, function in zip(_MODULES, before, strict=True):
            module._get_objects_property = function
