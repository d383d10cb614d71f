"""From logits to probabilities one can take at their word, and to yes or no. Validation data alone.

A network's logits are too sure of themselves (Guo et al. 2017, arXiv:1706.04599), and class weights shift
them (Elkan 2001). Platt's scaling (1999), sigmoid((z + shift) / temperature) with both chosen by maximum
likelihood, mends the two. The shift is added to the network's last bias, so that a model carries a
temperature only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from earthsignals.plume.judging.scores import best_f1_threshold, reliability

TEMPERATURES = (0.05, 20.0)  # bounds: data that a network separates perfectly would have 0
LARGEST_SHIFT = 20.0
_LAST_LAYERS = ("linear", "fc", "last")  # of plumenet, the googlenets and the U-Net


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and how good it is on the data that chose it.

    nll: mean negative log likelihood per item; calibration_error: expected, ten bins; each before and
    after. f1: the best, at `threshold` (plume from there on).
    """

    temperature: float
    shift: float
    threshold: float
    f1: float
    nll_before: float
    nll_after: float
    calibration_error_before: float
    calibration_error_after: float

    def to_dict(self) -> dict[str, float]:
        """For a log."""
        return asdict(self)


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Temperature and shift of the logits (N,) by their labels (N,), then the threshold of the best F1."""
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, bool)
    temperature, shift = fit_scaling(logits, labels)
    scaled = (logits + shift) / temperature
    threshold, f1 = best_f1_threshold(sigmoid(scaled), labels)
    errors = [reliability(sigmoid(z), labels).expected_calibration_error for z in (logits, scaled)]
    return Calibration(
        temperature, shift, threshold, f1, _nll(logits, labels), _nll(scaled, labels), *errors
    )


def fit_scaling(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(temperature, shift) that maximise the likelihood of labels (N,) bool under sigmoid((z + s) / T).

    The negative log likelihood is convex in (1/T, s/T), which is what the search moves in.
    """
    sign = np.where(labels, 1.0, -1.0)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = values[0] * logits + values[1]
        slope = -sign * sigmoid(-sign * scaled) / len(logits)
        return _nll(scaled, labels), np.array([slope @ logits, slope.sum()])

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B",
        bounds=[(low, high), (-LARGEST_SHIFT, LARGEST_SHIFT)],
        options={"ftol": 1e-12, "gtol": 1e-8},
    ).x  # fmt: skip
    return float(1 / found[0]), float(found[1] / found[0])


@torch.no_grad()
def shift_logits(network: nn.Module, shift: float) -> None:
    """Add `shift` to every logit of a network of `model.build`, in place, by its last bias."""
    name = next(name for name in _LAST_LAYERS if hasattr(network, name))
    network.get_submodule(name).bias[-1] += shift  # of two classes the second is the plume


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow, float64."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def _nll(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, np.where(labels, -logits, logits))))
