"""Batches are functions of row and epoch, and mask what was not recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import StftParams, WindowParams
from earthsignals.seismic.spectrogram.batches import SpectrogramBatches, loading_device, turn_horizontals
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training import BatchSource

SAMPLES, RATE = 1000, 100.0
PREPROCESSING = Preprocessing(
    StftParams(window_samples=64, overlap_samples=48, fft_samples=64),
    window=WindowParams(before_p_s=2, after_p_s=8),
)


def store_of(records: int = 12) -> Store:
    """Noise of three different strengths; record 1 was recorded from sample 320 to 640 alone."""
    waveforms = philox(0, "test-batches").standard_normal((records, 3, SAMPLES), dtype=np.float32)
    waveforms *= np.array([3, 1, 2], np.float32)[:, None]
    valid = np.tile([0, SAMPLES], (records, 1))
    valid[1] = 320, 640
    waveforms[1, :, :320] = waveforms[1, :, 640:] = 0
    metadata = pd.DataFrame({"trace_valid_start": valid[:, 0], "trace_valid_stop": valid[:, 1]})
    return Store(Path("packed"), waveforms, metadata, np.empty(0, np.int64), {}, RATE, {})


def test_a_batch_holds_the_images_of_its_rows():
    store, rows = store_of(), np.array([7, 1, 4, 2])
    batches = SpectrogramBatches(store, rows, PREPROCESSING)
    assert isinstance(batches, BatchSource) and len(batches) == 4
    x, mask = batches.batch(np.array([1, 3]), 0)
    expected = SpectrogramImage(PREPROCESSING).images(torch.from_numpy(store.waveforms[[1, 2]])).x
    assert torch.equal(x, expected)
    assert x.shape == (2, *PREPROCESSING.shape) and x.dtype == mask.dtype == torch.float32
    frames = np.arange(PREPROCESSING.shape[2]) * 16
    assert mask.shape == (2, 1, 1, len(frames))
    assert np.array_equal(mask[0, 0, 0], (frames >= 320) & (frames < 640))
    assert np.array_equal(mask[1, 0, 0], frames < SAMPLES)


def test_the_store_is_left_as_it_is():
    store = store_of()
    before = store.waveforms.copy()
    SpectrogramBatches(store, np.arange(12), PREPROCESSING, augment=True).batch(np.arange(12), 3)
    assert np.array_equal(store.waveforms, before)


def test_turns_depend_on_row_and_epoch_alone():
    store = store_of()
    one = SpectrogramBatches(store, np.arange(12), PREPROCESSING, augment=True, seed=5)
    other = SpectrogramBatches(store, np.array([9, 3]), PREPROCESSING, augment=True, seed=5)
    x, _ = one.batch(np.array([3, 9]), epoch=2)
    assert torch.equal(x, one.batch(np.array([3, 9]), epoch=2)[0])
    assert torch.equal(x.flip(0), other.batch(np.array([0, 1]), epoch=2)[0])
    assert not torch.equal(x, one.batch(np.array([3, 9]), epoch=3)[0])
    reseeded = SpectrogramBatches(store, np.arange(12), PREPROCESSING, augment=True, seed=6)
    assert not torch.equal(x, reseeded.batch(np.array([3, 9]), epoch=2)[0])
    plain = SpectrogramBatches(store, np.arange(12), PREPROCESSING)
    assert torch.equal(plain.batch(np.arange(4), 0)[0], plain.batch(np.arange(4), 1)[0])


def test_a_turn_keeps_energy_and_the_vertical():
    waveform = store_of().read([0])[0]
    turned = waveform.copy()
    turn_horizontals(turned, 0.7)
    assert np.array_equal(turned[2], waveform[2])
    assert np.allclose((turned[:2] ** 2).sum(0), (waveform[:2] ** 2).sum(0), rtol=1e-5)
    turn_horizontals(turned, -0.7)
    assert np.allclose(turned, waveform, atol=1e-5)
    # Axes a quarter turn clockwise: the new E points where −N did, the new N where E did.
    quarter = waveform.copy()
    turn_horizontals(quarter, np.pi / 2)
    assert np.allclose(quarter[:2], [-waveform[1], waveform[0]], atol=1e-5)


def test_turned_horizontals_are_equally_strong_on_average():
    # E is three times N; over uniform azimuths each gets the mean power, (9 + 1) / 2.
    waveform, power = store_of().read([0])[0], np.zeros(2)
    for number in range(400):
        turned = waveform.copy()
        turn_horizontals(turned, philox(1, "test-azimuths", number).uniform(0, 2 * np.pi))
        power += turned[:2].var(1) / 400
    assert power == pytest.approx([5, 5], rel=0.1)


def test_windows_of_another_length_are_refused():
    with pytest.raises(EarthSignalsError, match="1000 samples at 100 Hz, but the preprocessing wants 7000"):
        SpectrogramBatches(store_of(), np.arange(3), Preprocessing())


def test_images_are_made_on_the_cpu_where_no_single_gpu_trains():
    assert loading_device(Settings(device="cpu")).type == "cpu"
    assert loading_device(Settings(device="cpu", devices=2)).type == "cpu"
