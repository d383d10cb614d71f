"""A number with what it becomes when other scenes are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.bootstrap import Groups, named, with_interval


@dataclass(frozen=True)
class Measured:
    """value () or (K,) and its resamples (B,) or (B, K); NaN where there was nothing to measure.

    Two that were resampled by the same scenes are paired: their difference knows what they share.
    """

    value: np.ndarray
    resampled: np.ndarray

    @classmethod
    def mean(cls, groups: Groups, values: np.ndarray) -> Measured:
        """Mean over items of values (N,) or (N, K), NaN not counting."""
        return cls(*groups.resampled_mean(values))

    @classmethod
    def unknown(cls, groups: Groups) -> Measured:
        """What cannot be measured on these tiles."""
        return cls(np.array(np.nan), np.full(len(groups.weights), np.nan))

    @property
    def triple(self) -> np.ndarray:
        """(..., 3) value, low, high: the central 95 % of the resamples."""
        return with_interval(self.value, self.resampled)

    def centred(self) -> Measured:
        """With its resamples moved so that their mean is the value.

        For what resampling by itself shifts: a resample has fewer different scenes, in which clusters look
        purer and fewer directions are used.
        """
        known = np.isfinite(self.resampled)
        if not known.any():
            return self
        return Measured(self.value, self.resampled + (self.value - self.resampled[known].mean()))

    def minus(self, other: Measured) -> Measured:
        """The paired difference."""
        return Measured(self.value - other.value, self.resampled - other.resampled)

    def named(self, name: str) -> dict[str, float | None]:
        """`{name, name_low, name_high}` for JSON; None for what is not finite."""
        return named(name, self.triple)


def group_sums(groups: Groups, values: np.ndarray) -> np.ndarray:
    """Sums (G, ...) of values (N, ...) over the items of each group; `groups.weights @` makes resamples."""
    sums = np.zeros((groups.weights.shape[1], *values.shape[1:]))
    np.add.at(sums, groups.group, values)
    return sums
