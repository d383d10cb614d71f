"""The transform is scipy's, goes both ways, and scales as its docstrings say."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.signal
import torch

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import (
    FilterParams,
    ReadingParams,
    ScalingParams,
    SeismicParams,
    StftParams,
    WindowParams,
)
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.spectrogram.stft import Stft
from earthsignals.storage import EarthSignalsError

TRANSFORMS = {
    "default": {},
    "fft longer than the window": {"window_samples": 200, "overlap_samples": 137, "fft_samples": 300},
    "odd window": {"window": "boxcar", "window_samples": 101, "overlap_samples": 50, "fft_samples": 128},
    "odd fft": {"window": "hamming", "window_samples": 64, "overlap_samples": 32, "fft_samples": 75},
    "no overlap": {"window": "hamming", "overlap_samples": 0},
    "blackman": {"window": "blackman"},
}
SCALINGS = {name: ScalingParams(normalisation=name) for name in ("joint", "component")}


def noise(*shape: int, item: int = 0) -> np.ndarray:
    return philox(0, "test-spectrogram", item).standard_normal(shape)


def image_of(name: str = "joint", **changes) -> SpectrogramImage:
    return SpectrogramImage(Preprocessing(scaling=SCALINGS[name].model_copy(update=changes)))


def record(samples: int = 7000, item: int = 0, snr: float = 30.0) -> torch.Tensor:
    """(1, 3, S) float32: noise with a burst that decays, the components of different strength."""
    time = np.arange(samples) / 100
    burst = np.where(time > 10, snr * np.exp(-(time - 10) / 8), 0)
    waveform = (1 + burst * np.array([[1.0], [0.6], [0.2]])) * noise(3, samples, item=item)
    return torch.from_numpy(np.float32(scipy.signal.detrend(50 * waveform)))[None]


def round_trip_db(image: SpectrogramImage, x: torch.Tensor) -> float:
    found = image.images(x, keep_z=True)
    back = image.waveforms(found.x, found.level, found.z, x.shape[-1])
    return float(20 * torch.log10(x.norm() / (back - x).norm()))


@pytest.mark.parametrize("options", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("samples", [7000, 7001, 513])
def test_the_transform_equals_scipys(options, samples):
    params = StftParams(**options)
    stft, x = Stft(params), noise(2, 3, samples)
    expected = scipy.signal.stft(
        x, window=params.window, nperseg=params.window_samples, noverlap=params.overlap_samples,
        nfft=params.fft_samples,
    )[2]  # fmt: skip
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        found = stft(torch.from_numpy(x).to(dtype))
        assert found.shape == expected.shape == (2, 3, stft.bins, stft.frames(samples))
        assert np.abs(found.numpy() - expected).max() < tolerance * np.abs(expected).max()
        back = stft.inverse(found, samples)
        assert back.dtype == dtype
        assert float((back - torch.from_numpy(x)).abs().max()) < 100 * tolerance


def test_a_sine_on_a_bin_has_half_its_amplitude():
    time = torch.arange(7000, dtype=torch.float64) / 100
    z = Stft(StftParams())(3 * torch.sin(2 * np.pi * 12.5 * time))  # 12.5 Hz is bin 32 of 100/256 Hz each
    middle = z[:, 20:90].abs()
    assert torch.allclose(middle[32], torch.tensor(1.5, dtype=torch.float64), rtol=1e-12)
    assert (middle.argmax(0) == 32).all()


def test_the_inverse_is_the_nearest_waveform():
    # Least squares: what is left over is orthogonal to the transform of every waveform.
    stft = Stft(StftParams(window_samples=64, overlap_samples=48, fft_samples=64))
    z = torch.from_numpy(noise(33, 33) + 1j * noise(33, 33, item=1))
    left = z - stft(stft.inverse(z, 512))
    probe = stft(torch.from_numpy(noise(512, item=2)))
    both = torch.full((33, 1), 2.0, dtype=torch.float64)  # positive and negative frequencies
    both[0] = both[-1] = 1
    product = (both * (left * probe.conj()).real).sum()
    assert abs(float(product)) < 1e-10 * float(left.norm() * probe.norm())


def test_transforms_that_cannot_be_are_refused():
    stft = Stft(StftParams())
    with pytest.raises(EarthSignalsError, match="200 samples is shorter than the transform's window of 256"):
        stft(torch.zeros(200))
    with pytest.raises(EarthSignalsError, match=r"is not one of records of 500 samples"):
        stft.inverse(torch.zeros(129, 111, dtype=torch.complex64), 500)
    gaps = Stft(StftParams(overlap_samples=0))  # hann falls to zero where the next one begins
    with pytest.raises(EarthSignalsError, match="leave samples uncovered.*overlap_samples"):
        gaps.inverse(gaps(torch.zeros(7000)), 7000)


def test_the_mask_marks_frames_centred_on_valid_samples():
    stft = Stft(StftParams())
    mask = stft.frame_mask(torch.tensor([[0, 7000], [640, 1281], [0, 0]]), 7000)
    assert mask.shape == (3, 1, 1, 111) and mask.dtype == torch.float32
    centres = np.arange(111) * 64
    assert np.array_equal(mask[0, 0, 0], centres < 7000) and mask[0].sum() == 110
    assert np.flatnonzero(mask[1, 0, 0]).tolist() == list(range(10, 21))
    assert mask[2].sum() == 0


def test_the_transform_travels_to_other_processes_and_precisions():
    stft = Stft(StftParams())
    x = torch.from_numpy(noise(2, 7000))
    copy = pickle.loads(pickle.dumps(stft))
    assert torch.equal(copy(x), stft(x))
    image = pickle.loads(pickle.dumps(image_of()))
    assert torch.equal(image.images(record()).x, image_of().images(record()).x)


@pytest.mark.parametrize("name", SCALINGS)
@pytest.mark.parametrize("records", [1, 3, 8, 11])
def test_chunks_give_what_the_whole_batch_gives(name, records):
    x = torch.cat([record(item=n) for n in range(records)])
    image = image_of(name)
    whole, chunked = image.images(x, keep_z=True), image.images(x)
    assert chunked.z is None and chunked.x.shape == (records, 3, 129, 111)
    assert torch.allclose(chunked.x, whole.x, atol=1e-6)
    assert torch.allclose(chunked.level, whole.level, rtol=1e-5)
    assert torch.allclose(image.amplitudes(x), whole.z.abs(), rtol=1e-5, atol=1e-5)
    assert torch.equal(image.images_of(whole.z).x, whole.x)
    # Records do not see each other: alone they are the same.
    assert torch.equal(image.images(x[-1:]).x, chunked.x[-1:])


def test_buffers_do_not_leak_from_one_length_to_the_next():
    image = image_of()
    long = image.images(record(7000, item=1)).x
    short = image.images(record(3000)).x
    assert torch.equal(image.images(record(3000)).x, short)
    assert torch.equal(image.images(record(7000, item=1)).x, long)


def test_joint_scaling_is_decibels_below_the_maximum():
    image = image_of()
    found = image.images(record(), keep_z=True)
    expected = np.clip(1 + 20 * np.log10(found.z.abs().numpy() / found.z.abs().max().item()) / 80, 0, 1)
    assert np.abs(found.x.numpy() - expected).max() < 1e-6
    assert float(found.x.max()) == pytest.approx(1, abs=1e-6)
    assert found.level.item() == pytest.approx(found.z.abs().max().item(), rel=1e-6)


def test_joint_scaling_keeps_ratios_and_drops_the_unit():
    image, x = image_of(), record()
    found = image.images(x).x
    for gain in (2.0**-33, 2.0**22):  # metres per second, and counts of a strong record
        assert torch.allclose(image.images(gain * x).x, found, atol=2e-6)
    weaker = x * torch.tensor([1.0, 1.0, 0.1])[:, None]  # Z 20 dB down: a quarter of the range
    shift = image.images(weaker).x[0, 2] - found[0, 2]
    assert torch.allclose(shift[found[0, 2] > 0.3], torch.tensor(-0.25), atol=1e-5)
    # The range changes the image, not its maximum.
    half = image_of(range_db=40.0).images(x).x
    assert torch.allclose(1 - half, 2 - 2 * found.clamp(min=0.5), atol=1e-5)


def test_component_scaling_stretches_every_component_and_loses_the_ratios():
    image, x = image_of("component"), record()
    found, z = image.images(x), Stft(StftParams())(x)
    logarithm = np.log1p(z.abs().numpy())
    low, high = logarithm.min((2, 3), keepdims=True), logarithm.max((2, 3), keepdims=True)
    assert np.abs(found.x.numpy() - (logarithm - low) / (high - low)).max() < 1e-5
    assert np.allclose(found.level.numpy(), np.concatenate((low, high), -1), rtol=1e-5)
    assert torch.allclose(found.x.amin((2, 3)), torch.zeros(1, 3), atol=1e-6)
    assert torch.allclose(found.x.amax((2, 3)), torch.ones(1, 3), atol=1e-6)


@pytest.mark.parametrize("name", SCALINGS)
def test_silence_is_an_image_of_zeros_and_comes_back_silent(name):
    image, silent = image_of(name), torch.zeros(2, 3, 7000)
    for found in (image.images(silent), image.images(silent, keep_z=True)):
        assert torch.equal(found.x, torch.zeros(2, 3, 129, 111)) and bool(found.level.isfinite().all())
    assert torch.equal(image.waveforms(found.x, found.level, found.z, 7000), silent)
    one_dead = record().clone()
    one_dead[:, 1] = 0
    found = image.images(one_dead)
    assert bool(found.x.isfinite().all()) and float(found.x[:, 1].abs().max()) == 0
    constant = image.images(torch.ones(1, 3, 7000))
    assert bool(constant.x.isfinite().all()) and 0 <= float(constant.x.min()) <= float(constant.x.max()) <= 1


@pytest.mark.parametrize("name", SCALINGS)
def test_a_waveform_comes_back_from_its_image(name):
    for snr in (0.0, 3.0, 300.0, 1e5):
        for samples in (7000, 6400, 9001):
            assert round_trip_db(image_of(name), record(samples, snr=snr)) > 100


@pytest.mark.parametrize("name", SCALINGS)
def test_real_waveforms_come_back_from_their_images(name, real_data):
    from earthsignals.seismic.records.read import read_record
    from earthsignals.seismic.records.record import RefusedRecord

    files = sorted((real_data / "seismic" / "mseed_3c").glob("*/*.mseed"))
    image, read = image_of(name), 0
    for file in files[::3]:
        try:
            waveform = read_record(file, ReadingParams(), None).waveform[:, :7000]
        except RefusedRecord:
            continue
        read += 1
        x = torch.from_numpy(np.float32(scipy.signal.detrend(waveform)))[None]
        assert round_trip_db(image, x) > 60, file
    assert read > len(files) / 6


def test_the_image_alone_tells_the_amplitude_down_to_its_range():
    # An image by a network has its own amplitudes: z gives the phase and, below the range, an upper bound.
    image = image_of()
    found = image.images(record(), keep_z=True)
    half = (found.x - 20 * np.log10(2) / 80).clamp(min=1e-3)
    back = image.waveforms(half, found.level, 7.0 * found.z, 7000)
    strong = found.x > 0.2
    error = (image.stft(back) - found.z / 2).abs()[strong] / found.level.item()
    assert float(error.max()) < 1e-3
    nothing = image.waveforms(torch.zeros_like(found.x), found.level, found.z, 7000)
    assert float(nothing.abs().max()) < float(record().abs().max()) * 1e-2


@pytest.mark.parametrize("name", SCALINGS)
def test_gradients_pass_and_agree_with_differences(name):
    params = StftParams(window_samples=16, overlap_samples=12, fft_samples=16)
    image = SpectrogramImage(Preprocessing(params, SCALINGS[name]))
    x = torch.from_numpy(100 * noise(1, 3, 40)).requires_grad_()
    weights = torch.from_numpy(noise(1, 3, 9, 11, item=1))

    def total(waveform: torch.Tensor) -> torch.Tensor:
        return (image.images(waveform).x * weights).sum()

    (gradient,) = torch.autograd.grad(total(x), x)
    direction = torch.from_numpy(noise(1, 3, 40, item=2))
    with torch.no_grad():
        slope = (total(x + 1e-4 * direction) - total(x - 1e-4 * direction)) / 2e-4
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_preprocessing_is_carried_as_plain_values():
    params = SeismicParams(
        stft={"window_samples": 128, "overlap_samples": 96, "fft_samples": 256}, filter=FilterParams(),
        window=WindowParams(before_p_s=5, after_p_s=20), scaling=ScalingParams(range_db=60),
    )  # fmt: skip
    preprocessing = Preprocessing.from_params(params)
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    assert Preprocessing.from_dict(Preprocessing().to_dict()) == Preprocessing()
    assert Preprocessing.from_params(params, normalisation="component").scaling.normalisation == "component"
    assert preprocessing.shape == (3, 129, Stft(params.stft).frames(2500))
    assert Preprocessing().shape == (3, 129, 111)
    frequencies, times = preprocessing.frequencies_hz, preprocessing.times_s
    assert (len(frequencies), len(times)) == preprocessing.shape[1:]
    assert frequencies[[0, 1, -1]].tolist() == [0, 100 / 256, 50] and times[:2].tolist() == [0, 0.32]


@pytest.mark.parametrize(
    "fault", [{"stft": {"window_samples": 1}}, {"filter": 3}, {"scaling": None}, {"more": 1}]
)
def test_preprocessing_of_another_version_is_refused(fault):
    with pytest.raises(EarthSignalsError, match="is not one of this version.*train the model again"):
        Preprocessing.from_dict(Preprocessing().to_dict() | fault)
    with pytest.raises(EarthSignalsError, match="is not one of this version"):
        Preprocessing.from_dict({"stft": {}})
