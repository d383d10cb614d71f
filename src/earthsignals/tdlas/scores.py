"""Scores per decade of the mole fraction, with bootstrap intervals."""

from __future__ import annotations

import numpy as np

from earthsignals.compute.seeds import philox

RESAMPLES = 1000


def decades(low_ppm: float, high_ppm: float) -> dict[str, tuple[float, float]]:
    """Decades between two mole fractions [ppm], the first and last cut: {"1e2-1e3": (100, 1000), ...}."""
    powers = range(int(np.floor(np.log10(low_ppm) + 1e-9)), int(np.ceil(np.log10(high_ppm) - 1e-9)))
    found = {}
    for power in powers:
        low, high = max(10.0**power, low_ppm), min(10.0 ** (power + 1), high_ppm)
        found[f"{_name(low)}-{_name(high)}"] = (low, high)
    return found


def _name(ppm: float) -> str:
    mantissa, exponent = f"{ppm:.6e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".")
    return f"{digits}e{int(exponent)}"


def by_decade(ppm: np.ndarray, limits: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Row masks (B,) of the true mole fractions in each decade; the last includes its upper end."""
    last = max(high for _, high in limits.values())
    return {
        name: (ppm >= low) & ((ppm < high) | ((high == last) & (ppm <= high)))
        for name, (low, high) in limits.items()
    }


def errors(predicted: np.ndarray, truth: np.ndarray, bound: np.ndarray) -> dict[str, float]:
    """MAE, RMSE, bias [ppm], mean relative error [1] and RMSE in units of the bound, with interval.

    All arguments (B,) [ppm]. The interval is the central 95 % of a bootstrap over scans.
    """
    error = predicted - truth
    scaled = error / bound
    generator = philox(0, "bootstrap", len(error))
    picks = generator.integers(0, len(error), (RESAMPLES, len(error)))
    resampled = np.sqrt(np.mean(scaled[picks] ** 2, axis=1))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "scans": len(error),
        "mae_ppm": float(np.abs(error).mean()),
        "rmse_ppm": rms(error),
        "bias_ppm": float(error.mean()),
        "bias_over_crlb": float(scaled.mean()),
        "relative_error": float((np.abs(error) / truth).mean()),
        "rmse_over_crlb": rms(scaled),
        "rmse_over_crlb_low": float(low),
        "rmse_over_crlb_high": float(high),
    }


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def coverage(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of true values inside their interval."""
    return float(np.mean((truth >= low) & (truth <= high)))


def allan_deviation(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping Allan deviation of evenly spaced values: (averaging lengths (K,), deviations (K,)).

    sigma^2(m) = <(mean_{k+m} - mean_k)^2> / 2 over all starts (Allan 1966; Riley 2008, NIST SP 1065),
    at lengths 1, 2, 4, ... up to a quarter of the series.
    """
    sums = np.concatenate([[0.0], np.cumsum(series)])
    lengths = 2 ** np.arange(int(np.log2(len(series) // 4)) + 1)
    deviations = []
    for m in lengths:
        means = (sums[m:] - sums[:-m]) / m
        deviations.append(np.sqrt(0.5 * np.mean((means[m:] - means[:-m]) ** 2)))
    return lengths, np.array(deviations)
