"""Guises of a record, and the linear start that they lead to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.seismic.pca import Pca, turned_to
from earthsignals.seismic.spectrogram.stretch import stretch


def tone(hz: float, samples: int = 4000, rate: float = 100.0) -> np.ndarray:
    time = np.arange(samples) / rate
    return np.sin(2 * np.pi * hz * time).astype(np.float32)[None, None].repeat(3, 1)


@pytest.mark.parametrize("hz", [1.0, 10.0, 35.0])
def test_stretching_moves_a_tone_to_the_frequency_times_the_factor(hz: float) -> None:
    factor = 1.04
    found = stretch(tone(hz), factor, 0)[..., 50:3700]
    np.testing.assert_allclose(found, tone(hz * factor)[..., 50:3700], atol=0.02)


def test_no_stretching_changes_nothing() -> None:
    waveform = np.random.default_rng(0).normal(size=(2, 3, 500)).astype(np.float32)
    np.testing.assert_allclose(stretch(waveform, 1.0, 100), waveform, atol=1e-6)


def test_the_p_arrival_stays_and_what_follows_comes_sooner() -> None:
    waveform = np.zeros((1, 3, 2000), np.float32)
    waveform[..., 500] = waveform[..., 1500] = 1
    found = np.abs(stretch(waveform, 1.05, 500)[0, 0])
    assert found[500] == pytest.approx(1, abs=1e-6)
    assert found[1000:].argmax() + 1000 == round(500 + 1000 / 1.05)


def test_a_span_turned_to_the_axes_of_images_is_their_principal_components() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(400, 6, generator=random) * torch.tensor([5.0, 4.0, 3.0, 0.1, 0.1, 0.1])
    span, _ = torch.linalg.qr(torch.randn(6, 6, generator=random))
    found = turned_to(images.mean(0), span.T.contiguous(), images.split(100))
    exact = Pca.fit(images, 5)
    torch.testing.assert_close(found.basis[:3].abs(), exact.basis[:3].abs(), atol=1e-3, rtol=0)
    np.testing.assert_allclose(found.variances[:3], exact.variances[:3], rtol=1e-4)
