"""Where the windows of a dense embedding lie in a scene, and which of them see missing pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Windows:
    """Every window of `size` pixels that lies wholly in the scene and begins on a multiple of `step`."""

    size: int
    step: int
    shape: tuple[int, int]
    """Rows and columns of windows."""

    @classmethod
    def of(cls, scene_shape: tuple[int, int], size: int, step: int, name: str = "the scene") -> Windows:
        """Raises EarthSignalsError for a step below one pixel and a scene smaller than a window."""
        if step < 1:
            raise EarthSignalsError(f"a step of {step} pixels was asked for, expected 1 or more (--step)")
        if min(scene_shape) < size:
            raise EarthSignalsError(
                f"{name} has {scene_shape[0]} x {scene_shape[1]} pixels, expected at least one window of "
                f"{size} x {size}: take a larger scene, or a model of smaller tiles"
            )
        rows, columns = ((edge - size) // step + 1 for edge in scene_shape)
        return cls(size, step, (rows, columns))

    @property
    def row(self) -> np.ndarray:
        """First pixel row of each row of windows, int64."""
        return self.step * np.arange(self.shape[0])

    @property
    def column(self) -> np.ndarray:
        """First pixel column of each column of windows, int64."""
        return self.step * np.arange(self.shape[1])

    def plane(self, scene: Plane) -> Plane:
        """The raster whose pixels' centres are the centres of the windows."""
        margin_km = (self.size - self.step) / 2 * scene.pixel_km
        return Plane(
            scene.latitude, scene.longitude, scene.pixel_km * self.step,
            scene.left_km + margin_km, scene.top_km - margin_km, self.shape,
        )  # fmt: skip

    def missing_share(self, valid: np.ndarray) -> np.ndarray:
        """Share (rows, columns) float64 of each window's pixels that are not `valid` (H, W) bool."""
        if valid.all():
            return np.zeros(self.shape)
        return self._summed(self._summed(~valid).T).T / self.size**2

    def _summed(self, values: np.ndarray) -> np.ndarray:
        """Sums over `size` rows from each row of windows on: (rows, W) int32 of (H, W)."""
        total = np.zeros((len(values) + 1, values.shape[1]), np.int32)
        np.cumsum(values, 0, out=total[1:])
        first = self.step * np.arange((len(values) - self.size) // self.step + 1)
        return total[first + self.size] - total[first]
