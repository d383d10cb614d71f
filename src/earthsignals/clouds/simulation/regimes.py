"""Six ways in which shallow convection organises, as height fields on the pattern plane.

A field's high places are cloudy; how many are is decided by the cloud fraction, not here. The looks follow
Stevens et al. (2020, QJRMS 146, doi 10.1002/qj.3662) for sugar, gravel, fish and flowers, and Wood & Hartmann
(2006, J. Climate 19, doi 10.1175/JCLI3702.1) for cells. Ranges of scale and cloud fraction overlap on
purpose: neither names a regime. Flowers and fish are smaller here than over the oceans, where one may be as
wide as a tile: of what a tile shows several times, the tile can tell the scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.params import Regime
from earthsignals.clouds.simulation.fields import PatternField, powerlaw
from earthsignals.clouds.simulation.points import Points, draw


@dataclass(frozen=True)
class Pattern:
    """What a height field is made of: places on the pattern plane and kilometres per pixel.

    u, v: (H, W). clustering: function of u, v with values in [0, 1].
    """

    u: np.ndarray
    v: np.ndarray
    clustering: Callable[[np.ndarray, np.ndarray], np.ndarray]
    pixel_km: float

    def points(self, generator: np.random.Generator) -> Points:
        """Points of the pattern's clustering over all of the scene."""
        low = np.array([self.u.min(), self.v.min()])
        high = np.array([self.u.max(), self.v.max()])
        return draw(generator, low, high, self.clustering)

    def cumulus(self, generator: np.random.Generator, slope: float = 1.0) -> np.ndarray:
        """Small clouds, 3 to 12 km: a field of unit variance that has a size in km, not in the pattern."""
        finest = max(3 / self.pixel_km, 2.0)
        coarsest = max(12 / self.pixel_km, 2 * finest)  # large pixels show nothing smaller
        return powerlaw(generator, self.u.shape, slope, coarsest, finest)


def sugar(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Fine clouds strewn about, more or less evenly."""
    dense = PatternField(generator)(pattern.u, pattern.v)
    return pattern.cumulus(generator) + (0.5 + 0.7 * pattern.clustering(pattern.u, pattern.v)) * dense


def gravel(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Clusters of clouds along the arcs of cold pools."""
    distances, marks = pattern.points(generator).nearest(pattern.u, pattern.v, 4)
    rings = np.exp(-(((distances - 0.5 * np.exp(0.25 * marks)) / 0.15) ** 2)).max(-1)
    # A gust front is seldom cloudy all around.
    arcs = rings * (0.6 + 0.4 * np.tanh(1.5 * PatternField(generator)(1.3 * pattern.u, 1.3 * pattern.v)))
    return arcs + 0.22 * pattern.cumulus(generator, 1.2)


def fish(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Skeletons: long bands with bones, wide clear spaces between them."""
    spine = -np.abs(PatternField(generator, width=0.25, stretch=3.0)(pattern.u, pattern.v))
    bones = -np.abs(PatternField(generator, stretch=0.4)(2.5 * pattern.u, 2.5 * pattern.v))
    swell = PatternField(generator)(0.6 * pattern.u, 0.6 * pattern.v)
    uneven = 0.3 + 0.8 * pattern.clustering(pattern.u, pattern.v)
    return spine + 0.35 * bones + uneven * 0.6 * swell + 0.2 * pattern.cumulus(generator, 1.2)


def flowers(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Round decks with ragged edges, far from each other."""
    distances, marks = pattern.points(generator).nearest(pattern.u, pattern.v, 3)
    decks = (1 - distances / (0.42 * np.exp(0.3 * marks))).max(-1)
    ragged = PatternField(generator)(3 * pattern.u, 3 * pattern.v)
    return np.maximum(decks, -1.5) + 0.22 * ragged + 0.15 * pattern.cumulus(generator, 1.2)


def open_cells(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Cloudy walls around clear middles."""
    return -_walls(pattern, generator) + 0.16 * pattern.cumulus(generator, 1.2)


def closed_cells(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Cloudy middles with narrow clear rims."""
    return _walls(pattern, generator) + 0.08 * pattern.cumulus(generator, 1.2)


def _walls(pattern: Pattern, generator: np.random.Generator) -> np.ndarray:
    """Distance to the nearest edge of the Voronoi cells, roughly; edges wander."""
    wander = [0.12 * PatternField(generator)(2 * pattern.u, 2 * pattern.v) for _ in range(2)]
    points = pattern.points(generator)
    distances, _ = points.nearest(pattern.u + wander[0], pattern.v + wander[1], 2)
    return distances[..., 1] - distances[..., 0]


@dataclass(frozen=True)
class Kind:
    """A regime: its height field, and ranges (low, high) of scale in km, cloud fraction and anisotropy."""

    height: Callable[[Pattern, np.random.Generator], np.ndarray]
    scale_km: tuple[float, float]
    cloud_fraction: tuple[float, float]
    anisotropy: tuple[float, float] = (1.0, 1.7)


KINDS: dict[Regime, Kind] = {
    "sugar": Kind(sugar, (15.0, 60.0), (0.08, 0.35)),
    "gravel": Kind(gravel, (18.0, 72.0), (0.12, 0.4)),
    "fish": Kind(fish, (22.0, 90.0), (0.15, 0.45), (1.0, 2.0)),
    "flowers": Kind(flowers, (20.0, 80.0), (0.15, 0.45)),
    "open-cells": Kind(open_cells, (15.0, 60.0), (0.2, 0.5)),
    "closed-cells": Kind(closed_cells, (15.0, 60.0), (0.55, 0.9)),
}
