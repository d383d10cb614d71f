"""Mixing, the mask network, its loss, its baselines, and a training small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import detrend
from torch import nn

from earthsignals.seismic.checkpoint import SpectrogramModel, load_model
from earthsignals.seismic.denoiser_recipe import train_denoiser
from earthsignals.seismic.denoising.augment import (
    COLOUR_DB,
    colour_curves,
    coloured,
    rotated,
    shifted,
    surrogate_noise,
)
from earthsignals.seismic.denoising.baselines import band_passed, best_band, oracle_mask, wiener_filtered
from earthsignals.seismic.denoising.batches import MixedBatches, Sources
from earthsignals.seismic.denoising.judge import METHODS, correlation, judge_denoising, pairs
from earthsignals.seismic.denoising.loss import LEAST, DenoisingLoss
from earthsignals.seismic.denoising.mixing import energy, mix, snr_db
from earthsignals.seismic.denoising.waveform import denoise, masked
from earthsignals.seismic.networks.denoiser import Denoiser, folded, noise_floor, unfolded
from earthsignals.seismic.params import ReadingParams, SeismicParams
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.store.packed import Store
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

RATE, SAMPLES, P = 100.0, 2048, 800
QUIET = Settings(progress=False, workers=1, device="cpu", threads=1)
PREPROCESSING = Preprocessing()
SPLITS = ("train", "train", "dev", "train", "train", "test")


def bursts(count: int, seed: int) -> np.ndarray:
    """(count, 3, SAMPLES): bursts of random frequency that start at P and decay, like a small earthquake."""
    rng = np.random.default_rng(seed)
    lag = np.arange(SAMPLES) - P
    frequency = rng.uniform(4, 20, (count, 3, 1))
    decay = rng.uniform(100, 400, (count, 1, 1))
    wave = np.sin(2 * np.pi * frequency * lag / RATE + rng.uniform(0, 6, (count, 3, 1)))
    envelope = np.where(lag > 0, np.exp(-np.maximum(lag, 0) / decay), 0)
    return (1000 * envelope * wave).astype(np.float32)


def hum(count: int, seed: int) -> np.ndarray:
    """(count, 3, SAMPLES): noise that is red, as the ground's is."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    colour = 1 / np.maximum(frequency, 0.3)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal((count, 3, SAMPLES))) * colour, SAMPLES).astype(
        np.float32
    )


def make_store(clean: int = 24, noise: int = 12, *, snr: float = 40.0) -> Store:
    """Two thirds to train on; earthquakes first."""
    waveforms = np.concatenate([bursts(clean, 1) + 10 * hum(clean, 2), hum(noise, 3)])
    count = clean + noise
    metadata = pd.DataFrame({
        "trace_category": ["earthquake"] * clean + ["noise"] * noise,
        "trace_channel": [("HH", "HN")[i % 2] for i in range(count)],
        "trace_snr_db": [snr] * clean + [np.nan] * noise,
        "trace_p_arrival_sample": [float(P)] * clean + [np.nan] * noise,
        "trace_valid_start": 0,
        "trace_valid_stop": SAMPLES,
        "trace_crc32": range(count),
        "split": [SPLITS[i % len(SPLITS)] for i in range(count)],
    })  # fmt: skip
    return Store(Path("store"), waveforms, metadata, np.empty(0, np.int64), {}, RATE, {})


def model_of(network: nn.Module) -> SpectrogramModel:
    return SpectrogramModel(network.eval(), "denoiser", PREPROCESSING)


class Constant(nn.Module):
    """The same mask everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value.expand(x.shape)


@pytest.mark.parametrize("wanted", [-20.0, 0.0, 7.5, 40.0])
def test_mixture_has_the_ratio_asked_for(wanted: float) -> None:
    clean, noise = bursts(4, 1), hum(4, 2)
    noisy, factor = mix(clean, noise, wanted, P)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(snr_db(clean, factor[:, None, None] * noise, P), wanted, atol=1e-9)
    # The rounding of the noisy record to float32 is all that differs.
    np.testing.assert_allclose(snr_db(clean, noisy - clean, P), wanted, atol=1e-3)


def test_mixing_does_not_depend_on_units() -> None:
    clean, noise = bursts(2, 1), hum(2, 2)
    one, _ = mix(clean, noise, 3.0, P)
    other, _ = mix(clean, 1e6 * noise, 3.0, P)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-2)


def test_noise_before_p_does_not_count() -> None:
    clean, noise = bursts(1, 1), hum(1, 2)
    louder = noise.copy()
    louder[..., :P] *= 100
    assert mix(clean, noise, 0.0, P)[1] == mix(clean, louder, 0.0, P)[1]


def test_energy_takes_an_arrival_for_each_record() -> None:
    records = hum(3, 1)
    starts = np.array([0, 500, SAMPLES])
    singly = [float(energy(record, int(start))) for record, start in zip(records, starts, strict=True)]
    np.testing.assert_allclose(energy(records, starts), singly, rtol=1e-12)
    assert singly[2] == 0


def test_silent_records_cannot_be_mixed() -> None:
    clean, noise = bursts(2, 1), hum(2, 2)
    with pytest.raises(EarthSignalsError, match="1 of 2 noise records"):
        mix(clean, noise * np.array([1, 0])[:, None, None], 0.0, P)
    with pytest.raises(EarthSignalsError, match="2 of 2 clean records"):
        mix(np.nan * clean, noise, 0.0, P)
    with pytest.raises(EarthSignalsError, match="one length"):
        mix(clean, noise[..., 1:], 0.0, P)


def test_rotation_keeps_ground_motion() -> None:
    x = torch.from_numpy(hum(4, 1))
    azimuths = torch.tensor([0.0, np.pi / 2, 1.0, -2.0])
    turned = rotated(x, azimuths)
    torch.testing.assert_close(turned[:, 2], x[:, 2])
    torch.testing.assert_close(turned[:, :2].square().sum(1), x[:, :2].square().sum(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rotated(turned, -azimuths), x, rtol=1e-4, atol=1e-5)
    # A quarter turn: what was north is east.
    torch.testing.assert_close(turned[1, 0], x[1, 1], rtol=1e-4, atol=1e-5)


def test_colour_scales_a_tone_by_its_gain() -> None:
    bin_ = 200
    tone = torch.sin(2 * torch.pi * bin_ * torch.arange(SAMPLES, dtype=torch.float64) / SAMPLES)
    curves = colour_curves(np.random.default_rng(1), 2, SAMPLES).double()
    out = coloured(tone.expand(2, 3, SAMPLES), curves)
    torch.testing.assert_close(out, curves[:, None, bin_, None] * tone.expand(2, 3, SAMPLES))


def test_colours_spread_as_stated() -> None:
    decibels = 20 * np.log10(colour_curves(np.random.default_rng(1), 4000, SAMPLES).double().numpy())
    # Cosines over log-frequency: the average over its middle octaves is free of their edges' doubling.
    where = np.geomspace(8, 900, 60).astype(int)
    assert np.sqrt(np.mean(decibels[:, where] ** 2)) == pytest.approx(COLOUR_DB, rel=0.1)
    assert abs(decibels.mean()) < 0.3


def test_shifts_move_and_lose_only_what_leaves() -> None:
    x = torch.from_numpy(hum(3, 1))
    out = shifted(x, np.array([0, 100, -50]))
    torch.testing.assert_close(out[0], x[0])
    torch.testing.assert_close(out[1, :, 100:], x[1, :, :-100])
    torch.testing.assert_close(out[2, :, :-50], x[2, :, 50:])
    assert not out[1, :, :100].any() and not out[2, :, -50:].any()
    assert not shifted(x, np.full(3, 10 * SAMPLES)).any()


def test_surrogates_have_the_spectrum_of_the_piece() -> None:
    n = 900
    tone = np.sin(2 * np.pi * 10 * np.arange(n) / RATE)
    quiet = np.stack([3 * tone, np.random.default_rng(1).standard_normal(n), -tone])
    out = surrogate_noise(quiet, 40_000, np.random.default_rng(2)).astype(np.float64)
    np.testing.assert_allclose(out.std(axis=-1), quiet.std(axis=-1), rtol=0.1)
    spectrum = np.abs(np.fft.rfft(out[0])) ** 2
    frequency = np.fft.rfftfreq(out.shape[-1], 1 / RATE)
    assert spectrum[np.abs(frequency - 10) < 0.3].sum() > 0.99 * spectrum.sum()
    # Cross-spectra too: what moved against each other still does.
    assert np.corrcoef(out[0], out[2])[0, 1] < -0.999


@pytest.mark.parametrize("size", [(129, 111), (65, 28), (8, 2), (33, 1)])
def test_folding_loses_nothing(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    grid = folded(x)
    assert grid.shape == (2, 24, -(-size[0] // 4), -(-size[1] // 2))
    assert torch.equal(unfolded(grid, size), x)


@pytest.mark.parametrize("size", [(129, 111), (65, 37), (129, 3)])
def test_masks_are_shares_of_any_image(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = Denoiser(8).eval()
    mask = network(torch.rand(2, 3, *size))
    assert mask.shape == (2, 3, *size)
    assert bool(((mask >= 0) & (mask <= 1)).all()) and float(mask.detach().std()) > 0


def test_floor_is_blind_to_colour() -> None:
    """Decibels above the floor stay what they are when noise and signal change their spectrum together."""
    x = 0.5 * torch.rand(2, 3, 20, 111)
    colour = 0.5 * torch.rand(2, 3, 20, 1)
    torch.testing.assert_close(x + colour - noise_floor(x + colour), x - noise_floor(x))
    # And a burst that covers a third of the record does not raise it above the noise.
    burst = x.clone()
    burst[..., 60:97] += 0.5
    assert float(noise_floor(burst).max()) <= 0.5


def test_padding_does_not_lower_the_floor() -> None:
    x = 0.2 + 0.5 * torch.rand(2, 3, 20, 40)
    padded = torch.cat((x, torch.zeros(2, 3, 20, 71)), -1)
    torch.testing.assert_close(noise_floor(padded), noise_floor(x))
    assert not noise_floor(torch.zeros(1, 3, 20, 40)).any()


def test_network_refuses_what_it_cannot_be() -> None:
    with pytest.raises(EarthSignalsError, match="4 or more"):
        Denoiser(2)
    with pytest.raises(ValueError, match="expected \\(B, 3, F, T\\)"):
        Denoiser(4)(torch.rand(1, 1, 129, 20))


def test_denoising_scales_with_the_record_and_knows_no_neighbours() -> None:
    torch.manual_seed(1)
    network = Denoiser(8).eval()
    noisy, _ = mix(bursts(5, 1), hum(5, 2), 3.0, P)
    out = denoise(network, PREPROCESSING, noisy)
    scale = np.abs(out).max()
    # A power of two changes no digit: what is left are images that differ in the last one.
    louder = denoise(network, PREPROCESSING, 2.0**20 * noisy) / 2.0**20
    np.testing.assert_allclose(louder, out, atol=1e-3 * scale)
    np.testing.assert_allclose(denoise(network, PREPROCESSING, noisy, batch_size=2), out, atol=1e-5 * scale)
    assert not denoise(network, PREPROCESSING, np.zeros_like(noisy)).any()


def test_a_mask_of_ones_returns_the_record() -> None:
    noisy = hum(2, 1)
    out, masks = masked(Constant(1.0), PREPROCESSING, noisy)
    assert (masks == 1).all()
    assert snr_db(noisy, out - noisy).min() > 60


def test_a_record_shorter_than_the_transform_is_refused() -> None:
    with pytest.raises(EarthSignalsError, match="shorter than"):
        denoise(Constant(1.0), PREPROCESSING, hum(1, 1)[..., :200])


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_loss_is_the_gain_in_the_waveforms(value: float) -> None:
    """Parseval: with a constant mask the error is known in the time domain, value·noisy − clean."""
    clean = bursts(6, 1)
    noisy, _ = mix(clean, hum(6, 2), 5.0, 0)
    left = energy(value * noisy - clean) / energy(noisy - clean)
    expected = np.mean(10 * np.log10(left + LEAST))
    result = DenoisingLoss(PREPROCESSING)(Constant(value), (torch.from_numpy(noisy), torch.from_numpy(clean)))
    assert float(result["loss"]) == pytest.approx(expected, abs=0.05)
    assert float(result["gain_db"]) == pytest.approx(-expected, abs=0.05)


def test_noise_alone_should_become_silence() -> None:
    noise = torch.from_numpy(hum(2, 1))
    loss = DenoisingLoss(PREPROCESSING)
    result = loss(Constant(0.0), (noise, torch.zeros_like(noise)))
    assert float(result["loss"]) == pytest.approx(10 * np.log10(LEAST), abs=1e-3)
    assert float(result["gain_db"]) == 0  # no signal, no gain


def test_items_without_noise_or_anything_stay_finite() -> None:
    loss = DenoisingLoss(PREPROCESSING)
    clean = torch.from_numpy(bursts(2, 1))
    assert float(loss(Constant(1.0), (clean, clean))["loss"]) == pytest.approx(10 * np.log10(LEAST), abs=1e-3)
    assert float(loss(Constant(0.0), (clean, clean))["loss"]) == pytest.approx(60, abs=0.1)
    silence = torch.zeros_like(clean)
    assert np.isfinite(float(loss(Constant(0.5), (silence, silence))["loss"]))


def batches(store: Store, split: str, *, augment: bool) -> MixedBatches:
    sources = Sources.of(store, split, SeismicParams())
    return MixedBatches(store, sources, (-5.0, 10.0), augment=augment, seed=3)


def test_mixtures_are_functions_of_index_and_epoch() -> None:
    made = batches(make_store(), "train", augment=True)
    noisy, clean = made.batch(np.arange(8), 5)
    again, _ = made.batch(np.array([3]), 5)
    torch.testing.assert_close(again[0], noisy[3], rtol=1e-4, atol=1e-5)  # FFTs differ by rows in a batch
    assert not torch.allclose(made.batch(np.arange(8), 6)[0], noisy)
    torch.testing.assert_close(noisy.square().mean((1, 2)), torch.ones(8), rtol=1e-4, atol=1e-4)
    assert bool(torch.isfinite(clean).all())


def test_mixtures_for_validation_never_change_and_cover_the_range() -> None:
    made = batches(make_store(), "dev", augment=False)
    noisy, clean = made.batch(np.arange(len(made)), 0)
    assert torch.equal(made.batch(np.arange(len(made)), 9)[0], noisy)
    ratio = snr_db(clean.numpy(), (noisy - clean).numpy(), P)
    expected = -5 + 15 * (np.arange(len(made)) + 0.5) / len(made)
    np.testing.assert_allclose(ratio, expected, atol=1e-2)


def test_mixtures_take_nothing_from_other_splits() -> None:
    store = make_store()
    waveforms = store.waveforms.copy()
    waveforms[(store.metadata["split"] != "train").to_numpy()] = np.nan
    spoiled = Store(store.folder, waveforms, store.metadata, store.skipped, {}, RATE, {})
    made = batches(spoiled, "train", augment=True)
    for epoch in range(6):
        noisy, clean = made.batch(np.arange(len(made)), epoch)
        assert bool(torch.isfinite(noisy).all() and torch.isfinite(clean).all())


def test_without_noise_records_noise_comes_from_before_p() -> None:
    made = batches(make_store(noise=0), "train", augment=False)
    noisy, clean = made.batch(np.arange(len(made)), 0)
    noise = (noisy - clean).numpy()
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    # Red, as the noise before P is, and unlike the bursts of 4 Hz and more.
    assert power[..., frequency < 2].sum() > 5 * power[..., frequency > 4].sum()


def test_a_split_without_clean_records_or_noise_is_told() -> None:
    with pytest.raises(EarthSignalsError, match="minimum_signal_db"):
        Sources.of(make_store(snr=5.0), "train", SeismicParams())
    store = make_store(noise=0)
    early = store.metadata.assign(trace_p_arrival_sample=100.0)
    with pytest.raises(EarthSignalsError, match="before_p_s"):
        Sources.of(Store(store.folder, store.waveforms, early, store.skipped, {}, RATE, {}), "train",
                   SeismicParams())  # fmt: skip


def test_band_pass_keeps_its_band() -> None:
    time = np.arange(SAMPLES) / RATE
    slow, fast = np.sin(2 * np.pi * 0.2 * time), np.sin(2 * np.pi * 6 * time)
    out = band_passed((slow + fast)[None, None], (1.0, 20.0), RATE)[0, 0]
    middle = slice(300, -300)
    assert np.abs(out - fast)[middle].max() < 0.05


def test_best_band_surrounds_the_signal() -> None:
    time = np.arange(SAMPLES) / RATE
    clean = np.broadcast_to(np.sin(2 * np.pi * 6 * time), (2, 3, SAMPLES)).astype(np.float32)
    white = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    noisy, _ = mix(clean, white, 0.0, P)
    low, high = best_band(clean, noisy, P, RATE)
    assert 3 <= low < 6 < high <= 12


def test_wiener_and_oracle_stand_in_order() -> None:
    from earthsignals.seismic.spectrogram.stft import Stft

    stft = Stft(PREPROCESSING.stft)
    clean = bursts(12, 1)
    white = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    noisy, _ = mix(clean, white, 0.0, P)
    wiener = snr_db(clean, wiener_filtered(noisy, stft, P, RATE) - clean, P)
    best, mask = oracle_mask(clean, noisy, stft)
    oracle = snr_db(clean, best - clean, P)
    assert np.median(wiener) > 3
    assert (oracle > wiener).all()
    assert bool(((mask >= 0) & (mask <= 1)).all())
    # Without a frame before P there is nothing to estimate noise from.
    assert np.array_equal(wiener_filtered(noisy, stft, 100, RATE), noisy)


def test_judging_a_denoiser_that_does_nothing() -> None:
    levels = (-10.0, 0.0, 10.0)
    result = judge_denoising(model_of(Constant(1.0)), bursts(20, 1), hum(7, 2), levels, P, seed=1)
    np.testing.assert_allclose(result["gain_db"], 0, atol=1e-3)
    np.testing.assert_allclose(result["input_db"], np.broadcast_to(levels, (20, 3)), atol=1e-3)
    # Independent noise: r = 1 / sqrt(1 + noise / signal), but for chance.
    expected = 1 / np.sqrt(1 + 10 ** (-np.array(levels) / 10))
    np.testing.assert_allclose(result["correlation"].mean(axis=0), expected, atol=0.03)
    for prefix in METHODS:
        assert np.isfinite(result[prefix + "output_db"]).all()
        assert (result["oracle_output_db"] >= result[prefix + "output_db"] - 1e-6).all()
    assert set(result["noise_index"]) <= set(range(7))


def test_judging_refuses_records_of_another_length() -> None:
    with pytest.raises(EarthSignalsError, match="same number of samples"):
        judge_denoising(model_of(Constant(1.0)), bursts(2, 1), hum(2, 2)[..., 1:], (0.0,), P, seed=1)


def test_correlation_of_constants_is_none() -> None:
    record = hum(1, 1)
    assert correlation(record, 3 * record + 5)[0] == pytest.approx(1)
    assert correlation(record, -record)[0] == pytest.approx(-1)
    assert correlation(record, np.zeros_like(record))[0] == 0


def test_pairs_share_an_instrument_where_they_can() -> None:
    noise = ["HH", "HN", "HH", "EH"]
    chosen = pairs(["HH", "HN", "HH", "DP", "HH"], noise, seed=1)
    assert [noise[i] for i in chosen[[0, 1, 2, 4]]] == ["HH", "HN", "HH", "HH"]
    assert chosen[0] != chosen[2]  # both HH noises before one comes again
    assert np.array_equal(chosen, pairs(["HH", "HN", "HH", "DP", "HH"], noise, seed=1))
    with pytest.raises(EarthSignalsError, match="no noise record"):
        pairs(["HH"], [], seed=1)


def small_params(**denoiser: object) -> SeismicParams:
    return SeismicParams(denoiser={"channels": 8, "batch_size": 8, "mixing_db": (-5.0, 10.0), **denoiser})


def test_training_learns_to_remove_noise(tmp_path: Path) -> None:
    store = make_store(clean=48, noise=24)
    params = small_params(epochs=8, learning_rate=1e-2, checkpoint_every=8)
    out = tmp_path / "denoiser.pt"
    trained = train_denoiser(store, params, QUIET, out, resume_root=tmp_path / "resume")
    assert trained.history[-1]["validation_gain_db"] > trained.history[0]["validation_gain_db"] + 2
    model = load_model(out, "denoiser")
    sources = Sources.of(store, "test", params)
    clean, noise = store.read(sources.clean), store.read(sources.noise)
    result = judge_denoising(model, clean, noise, (0.0,), P, seed=1)
    # The bursts lie at 4 Hz and above, most noise below 2 Hz: filters gain 7 to 8 dB here.
    assert np.median(result["gain_db"]) > 10
    assert np.median(result["correlation"]) > 0.9
    trained.clear()
    assert not any((tmp_path / "resume").iterdir())


def test_training_repeats_to_the_byte(tmp_path: Path) -> None:
    store, params = make_store(), small_params(epochs=1)
    files = []
    for name in ("one", "two"):
        out = tmp_path / name / "denoiser.pt"
        train_denoiser(store, params, QUIET, out, resume_root=tmp_path / name / "resume")
        files.append(out.read_bytes())
    assert files[0] == files[1]


def test_real_noise_meets_real_earthquakes(real_data: Path) -> None:
    """Mixing, the bound and the filters on records that nobody simulated."""
    from earthsignals.seismic.spectrogram.stft import Stft

    folder = real_data / "seismic"
    table = pd.read_csv(folder / "records.csv")
    table = table[(table["snr_db_max_comp"] >= 35) & (table["band"] == "HH")].head(8)
    clean = np.stack([_components(folder / file) for file in table["file"]])
    noise = _components(folder / "noise_mseed" / "UT.STN11.A2_C50.miniseed", 8 * 7000)
    noise = detrend(noise.reshape(3, 8, 7000).transpose(1, 0, 2)).astype(np.float32)[: len(clean)]
    noisy, _ = mix(clean, noise, 0.0, 1000)
    stft = Stft(PREPROCESSING.stft)
    before = snr_db(clean, noisy - clean, 1000)
    np.testing.assert_allclose(before, 0, atol=0.01)
    wiener = snr_db(clean, wiener_filtered(noisy, stft, 1000, RATE) - clean, 1000)
    oracle = snr_db(clean, oracle_mask(clean, noisy, stft)[0] - clean, 1000)
    assert np.median(wiener) > 1 and np.median(oracle) > 8
    assert (oracle > wiener).all()


def _components(path: Path, samples: int = 7000) -> np.ndarray:
    record = read_record(path, ReadingParams(), None)
    return detrend(record.waveform[:, :samples].astype(np.float64)).astype(np.float32)
