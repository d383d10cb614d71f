"""The error that no code of a few numbers can go below: speckle.

A spectrogram of noise-like motion scatters about its expectation as an exponentially distributed power does,
5.6 dB in every cell (Percival & Walden 1993, section 6.6), and nothing short of the phases themselves tells
how. Two records of one earthquake that differ in their random phases share all that a code could know; half
of their mean squared difference is the variance of what it could not, hence the floor.

Such twins exist in simulation alone. For real records, and for each single one, a surrogate stands in: the
record's own power, smoothed over NEIGHBOURS, is taken for its expectation, two independent white noises are
shaped by it, and half their mean squared difference is the estimate.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import get_window
from torch import Tensor

from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox
from earthsignals.seismic.baselines import BLOCK
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.record import RecordSpec, simulate
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store
from earthsignals.seismic.store.prepare import band_pass, detrend

NEIGHBOURS = (5, 5)
"""Cells in frequency and time whose power is averaged: 2 Hz and 3 s by default."""


def twin_waveforms(spec: RecordSpec, params: SeismicParams) -> np.ndarray:
    """Two records (2, 3, S) float32 of one event, prepared as packing does; only random phases differ."""
    pair = []
    for phases in (0, 1):
        window = simulate(spec, params, phases=phases).counts.astype(np.float64)
        valid = (0, window.shape[1])
        detrend(window, valid)
        if params.filter is not None:
            band_pass(window, valid, params.filter, params.window.sampling_rate_hz)
        pair.append(window.astype(np.float32))
    return np.stack(pair)


@torch.inference_mode()
def twin_floor(
    specs: list[RecordSpec], params: SeismicParams, preprocessing: Preprocessing, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each spec half the mean squared difference of its twins, and the surrogates' estimate of it.

    Both (n, 3) float64, by component.
    """
    image = SpectrogramImage(preprocessing)
    floors, estimates = [], []
    with progress("measuring the floor", len(specs), "pairs") as bar:
        for start in range(0, len(specs), BLOCK // 4):
            chosen = specs[start : start + BLOCK // 4]
            twins = torch.from_numpy(np.stack([twin_waveforms(spec, params) for spec in chosen]))
            first = image.images(twins[:, 0], keep_z=True)
            second = image.images(twins[:, 1])
            floors.append(_half_difference(first.x, second.x, None))
            estimates.append(_surrogate(image, first.z, None, [spec.index for spec in chosen], seed))
            bar.advance(len(chosen))
    return np.concatenate(floors), np.concatenate(estimates)


@torch.inference_mode()
def surrogate_floor(
    store: Store, rows: np.ndarray, preprocessing: Preprocessing, seed: int
) -> np.ndarray:
    """The surrogates' estimate of the floor for each of these rows, (N, 3) by component."""
    image = SpectrogramImage(preprocessing)
    found = [np.empty((0, 3))]
    with progress("estimating floors", len(rows), "records") as bar:
        for start in range(0, len(rows), BLOCK):
            chosen = rows[start : start + BLOCK]
            waveforms = torch.from_numpy(store.read(chosen))
            mask = image.frame_mask(torch.from_numpy(store.valid(chosen)), waveforms.shape[-1])
            z = image.images(waveforms, keep_z=True).z
            found.append(_surrogate(image, z, mask, chosen, seed))
            bar.advance(len(chosen))
    return np.concatenate(found)


def _surrogate(
    image: SpectrogramImage, z: Tensor, mask: Tensor | None, numbers: list[int] | np.ndarray, seed: int
) -> np.ndarray:
    samples = image.preprocessing.window.samples
    amplitude = expected_power(z).sqrt() / _white_power(image.preprocessing).sqrt()
    white = np.stack([
        philox(seed, "seismic-surrogate", int(number)).standard_normal((2, 3, samples), dtype=np.float32)
        for number in numbers
    ])  # fmt: skip
    one, other = (
        image.images_of(image.stft(torch.from_numpy(white[:, which])) * amplitude).x for which in (0, 1)
    )
    return _half_difference(one, other, mask)


def expected_power(z: Tensor) -> Tensor:
    """|Z|² of z (B, 3, F, T), averaged over the neighbouring cells there are: (B, 3, F, T) float32."""
    height, width = NEIGHBOURS
    power = z.abs().square()
    return torch.nn.functional.avg_pool2d(
        power, NEIGHBOURS, stride=1, padding=(height // 2, width // 2), count_include_pad=False
    )


def _white_power(preprocessing: Preprocessing) -> Tensor:
    """E|Z|² of white noise of unit variance in each frame (T,): less where frames reach beyond the record."""
    stft, samples = preprocessing.stft, preprocessing.window.samples
    window = get_window(stft.window, stft.window_samples)
    hop, frames = stft.window_samples - stft.overlap_samples, preprocessing.shape[2]
    where = hop * np.arange(frames)[:, None] + np.arange(len(window)) - len(window) // 2
    inside = (where >= 0) & (where < samples)
    return torch.from_numpy((inside * window**2).sum(1) / window.sum() ** 2).float().clamp(min=1e-12)


def _half_difference(one: Tensor, other: Tensor, mask: Tensor | None) -> np.ndarray:
    """Half the mean squared difference (B, 3) of images (B, 3, F, T) over the frames of the mask."""
    square = (one - other).square_()
    if mask is None:
        return square.mean((2, 3), dtype=torch.float64).numpy() / 2
    cells = mask.sum((1, 2, 3)).double()[:, None] * one.shape[2]
    return ((square * mask).sum((2, 3), dtype=torch.float64) / cells).numpy() / 2
