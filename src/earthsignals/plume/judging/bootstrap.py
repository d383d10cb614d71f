"""Confidence intervals by resampling flightlines.

Tiles and pixels of one flightline share its noise, its ground and its plumes: they are no independent
samples, and resampling them would promise too much. Whole flightlines are drawn with replacement instead
(cluster bootstrap; Davison & Hinkley 1997, section 3.8). Since every score here follows from sums over
flightlines, a resample is a vector of how often each was drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from earthsignals.compute.seeds import philox

LEVEL = 0.95


def draws(groups: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of `groups` flightlines was drawn: (resamples, groups) float64, rows sum to `groups`."""
    generator = philox(seed, "plume-bootstrap", groups)
    return generator.multinomial(groups, np.full(groups, 1.0 / groups), size=resamples).astype(np.float64)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Central interval over the first axis (B, ...); resamples that are NaN (no plume drawn) do not count.

    Returns low and high (...), NaN where no resample is known.
    """
    values = np.asarray(values, np.float64)
    flat = values.reshape(len(values), -1)
    limits = np.full((2, flat.shape[1]), np.nan)
    tails = [0.5 - level / 2, 0.5 + level / 2]
    for column in range(flat.shape[1]):
        known = flat[np.isfinite(flat[:, column]), column]
        if len(known):
            limits[:, column] = np.quantile(known, tails)
    shape = values.shape[1:]
    return limits[0].reshape(shape), limits[1].reshape(shape)


def with_interval(
    name: str, statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, drawn: np.ndarray
) -> dict[str, float | None]:
    """`{name, name_low, name_high}` of a statistic of sums over flightlines.

    statistic: takes sums (..., C) and returns (...). counts: (S, C) per flightline. drawn: (B, S).
    """
    value = statistic(counts.sum(axis=0))
    low, high = interval(statistic(drawn @ counts))
    return {name: number(value), f"{name}_low": number(low), f"{name}_high": number(high)}


def number(value: np.ndarray | float | None) -> float | None:
    """A finite float for JSON, None for anything else."""
    return float(value) if value is not None and np.isfinite(value) else None
