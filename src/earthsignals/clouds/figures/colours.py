"""Three leading components of the embedding as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.figures.inputs import SceneMap
from earthsignals.clouds.figures.planes import Components

STRETCH = (2.0, 98.0)
"""Percentiles of all maps together that become 0 and 1: colours mean the same in every scene."""


@dataclass(frozen=True)
class Stretch:
    """Limits (2, K) of each component over all maps."""

    components: Components
    limits: np.ndarray

    @classmethod
    def of(cls, maps: Sequence[SceneMap], components: Components, count: int) -> Stretch:
        """Limits of the leading `count` components, or as many as there are."""
        count = min(count, len(components.axes))
        values = np.concatenate([components(m.values, count).reshape(-1, count) for m in maps])
        values = values[np.isfinite(values).all(1)]
        limits = np.percentile(values, STRETCH, axis=0) if len(values) else np.tile([[0.0], [1.0]], count)
        return cls(components, limits)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Embeddings (…, D) as components in [0, 1], (…, K); NaN stays NaN."""
        low, high = self.limits
        return np.clip(
            (self.components(values, len(low)) - low) / np.maximum(high - low, 1e-12), 0, 1
        )

    def rgba(self, values: np.ndarray) -> np.ndarray:
        """(R, C, 4) uint8 of (R, C, D) embeddings; clear where there is none."""
        unit = self(values)[..., :3]
        known = np.isfinite(unit).all(-1)
        unit = np.where(known[..., None], unit, 0)
        if unit.shape[-1] < 3:  # an embedding of two numbers
            unit = np.concatenate([unit, np.zeros((*unit.shape[:-1], 3 - unit.shape[-1]))], -1)
        colour = np.concatenate([unit, known[..., None].astype(float)], -1)
        return np.rint(255 * colour).astype(np.uint8)
