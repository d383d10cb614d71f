"""Noise at the stored rate has the statistics of block-averaged noise at the full rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kurtosis

from earthsignals.compute.seeds import Stream, philox
from earthsignals.tdlas import noise
from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.params import GasParams, InstrumentParams, LaserParams, LinesParams
from earthsignals.tdlas.simulate import Simulator, make_simulator

LASER = LaserParams()
M, BLOCK = LASER.samples_per_scan, LASER.block
QUIET = InstrumentParams(white=0.0, shot=0.0, rin=0.0, flicker=0.0, jitter=0.0, etalons=(), baseline=())
INDICES = np.arange(512)


@pytest.fixture(scope="module")
def make() -> object:
    """Simulators that differ in their noise alone (the emulator is built once)."""
    lines = embedded_lines().within(6045, 6049)
    window = LinesParams(window_low=6046.0, window_high=6048.0)
    base = make_simulator(lines, window, GasParams(), LASER, QUIET, seed=11)

    def simulator(**changes: float) -> Simulator:
        instrument = QUIET.model_copy(update=changes)
        amplitudes = None
        if instrument.flicker:
            amplitudes = noise.flicker_amplitudes(noise.flicker_covariance(LASER, instrument))
        return Simulator(**{**base.__dict__, "instrument": instrument, "flicker_amplitudes": amplitudes})

    return simulator


# ------------------------------------------------------------------------------ normal variables
def test_table_of_normals_is_exact_in_mean_and_variance() -> None:
    table = noise.normal_table()
    assert len(table) == 65_536 and (np.diff(table) > 0).all()
    np.testing.assert_array_equal(table, -table[::-1])
    assert np.mean(table**2) == pytest.approx(1.0, abs=1e-14)
    # Each value stands in the middle of its share of probability.
    assert np.abs(ndtr(table) - (np.arange(65_536) + 0.5) / 65_536).max() < 1e-5
    assert table[-1] == pytest.approx(4.32, abs=0.01)
    assert kurtosis(table, fisher=False) == pytest.approx(3.0, abs=3e-3)


def test_white_normals_have_normal_tails() -> None:
    """The sum of two table values: 1.3 million of them, counted beyond 2, 3 and 4 sigma."""
    drawn = noise.white_normals(noise.random_indices(Stream(3, "tails"), np.arange(640), 4000))
    n = drawn.size
    assert abs(drawn.mean()) < 4 / np.sqrt(n)
    assert drawn.var() == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))
    for level in (2.0, 3.0, 4.0):
        expected = 2 * ndtr(-level) * n
        assert abs((np.abs(drawn) > level).sum() - expected) < 4 * np.sqrt(expected)


def test_random_indices_belong_to_the_item() -> None:
    """Item 5's bits are those of philox(seed, name, 5), wherever it stands; pinned for other machines."""
    stream = Stream(1, "noise")
    together = noise.random_indices(stream, np.arange(8), 12)
    np.testing.assert_array_equal(noise.random_indices(stream, np.array([5, 2]), 12), together[[5, 2]])
    words = philox(1, "noise", 5).bit_generator.random_raw(3)
    assert together[5, :4].tolist() == [int(words[0]) >> s & 0xFFFF for s in (0, 16, 32, 48)]
    assert together[0, :4].tolist() == PINNED
    spread = np.bincount(noise.random_indices(stream, np.arange(64), 4096).ravel() >> 12, minlength=16)
    assert np.abs(spread - 16_384).max() < 5 * np.sqrt(16_384)


PINNED = [37430, 23129, 33274, 24369]


# ------------------------------------------------------------------------------ white, shot, RIN
@pytest.mark.parametrize(
    ("source", "power"), [("white", 0), ("shot", 1), ("rin", 2)], ids=["white", "shot", "rin"]
)
def test_each_source_alone_scales_as_declared(make: object, source: str, power: int) -> None:
    """Variance (source^2 signal^power) / 25 of a block of 25, as a full-rate simulation has it."""
    level = 4e-3
    signal = np.linspace(0.2, 1.6, M)
    simulator = make(**{source: level})
    drawn = simulator.draw_noise(INDICES, np.tile(signal, (len(INDICES), 1)))
    declared = level**2 * signal**power / BLOCK
    pooled = (drawn**2 / declared).mean(axis=0).reshape(10, -1).mean(axis=1)
    np.testing.assert_allclose(pooled, 1.0, atol=5 * np.sqrt(2 / (len(INDICES) * M / 10)))
    # Neighbours are independent, and so are scans.
    unit = drawn / np.sqrt(declared)
    assert abs((unit[:, 1:] * unit[:, :-1]).mean()) < 5 / np.sqrt(unit.size)
    assert abs((unit[1:] * unit[:-1]).mean()) < 5 / np.sqrt(unit.size)

    raw = np.random.default_rng(1).standard_normal((40, M, BLOCK))
    full = (raw * (level * signal[:, None] ** (power / 2))).mean(axis=2)
    assert full.var() == pytest.approx(drawn.var(), rel=5 * np.sqrt(2 / full.size))


def test_silence_is_silent(make: object) -> None:
    signal = np.ones((3, M))
    assert not make().draw_noise(np.arange(3), signal).any()
    assert make(white=1e-3).draw_noise(np.arange(3), signal).all()


def test_noise_scale_multiplies(make: object) -> None:
    simulator = make(white=1e-3, flicker=1e-4)
    signal = np.ones((2, M))
    once, twice = (simulator.draw_noise(np.arange(2), signal.copy(), scale) for scale in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-15)


# ------------------------------------------------------------------------------ flicker
FLICKER = QUIET.model_copy(update={"flicker": 8e-5})


def test_flicker_spectrum_is_one_over_f() -> None:
    """One-sided density flicker^2 / f: a decade of frequency carries flicker^2 ln 10."""
    variance = noise.flicker_density(LASER, FLICKER)
    frequency = np.arange(len(variance)) * 10.0 / 16
    assert variance[0] == 0 and frequency[-1] == 125_000
    decade = variance[(frequency >= 1000) & (frequency < 10_000)].sum()
    assert decade == pytest.approx(8e-5**2 * np.log(10), rel=1e-3)


def test_circulant_embedding_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every column of the linear map from normals to noise: its Gram matrix is the covariance."""
    laser = LaserParams(samples_per_scan=50)
    covariance = noise.flicker_covariance(laser, FLICKER)
    amplitudes = noise.flicker_amplitudes(covariance)
    monkeypatch.setattr(noise, "normals", np.ascontiguousarray)
    columns = noise.flicker_noise(np.eye(2 * 50 + 4), amplitudes)
    gram = columns.T @ columns
    lag = np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    np.testing.assert_allclose(gram, covariance[lag], rtol=1e-12)


def test_flicker_covariance_is_that_of_block_averages() -> None:
    """Block averages taken one by one: the sum over harmonics, lag by lag."""
    variance = noise.flicker_density(LASER, FLICKER)
    covariance = noise.flicker_covariance(LASER, FLICKER)
    raw_lags = np.fft.irfft(variance, 16 * LASER.raw_samples) * 8 * LASER.raw_samples
    inside = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))  # lags between two blocks' samples
    for lag in (0, 1, 7, 500, 999):
        direct = raw_lags[(inside + lag * BLOCK) % len(raw_lags)].mean()
        assert covariance[lag] == pytest.approx(direct, rel=1e-9, abs=1e-14)


def test_flicker_equals_a_full_rate_simulation(make: object) -> None:
    """25,000 raw samples a scan, averaged in blocks, against what is drawn: within Monte-Carlo error."""
    variance = noise.flicker_density(LASER, FLICKER)
    draw = np.random.default_rng(2)
    rings = []
    for _ in range(24):
        parts = draw.standard_normal((2, len(variance)))
        spectrum = np.sqrt(variance) * (parts[0] + 1j * parts[1])
        spectrum[-1] = np.sqrt(2 * variance[-1]) * parts[0, -1]
        raw = np.fft.irfft(spectrum, 16 * LASER.raw_samples) * 8 * LASER.raw_samples
        rings.append(raw.reshape(16, M, BLOCK).mean(axis=2))
    full = np.array(rings)  # (rings, 16 scans, M)
    drawn = make(flicker=8e-5).draw_noise(np.arange(384), np.ones((384, M)))
    covariance = noise.flicker_covariance(LASER, FLICKER)
    for lag in (0, 1, 3, 10, 100, 500):
        own = (drawn[:, : M - lag] * drawn[:, lag:]).mean(axis=1)
        theirs = (full[..., : M - lag] * full[..., lag:]).mean(axis=(1, 2))
        for products in (own, theirs):
            error = products.std(ddof=1) / np.sqrt(len(products))
            assert abs(products.mean() - covariance[lag]) < 4.5 * error, lag

    window = np.hanning(M)
    spectra = [np.abs(np.fft.rfft(scans * window)) ** 2 for scans in (drawn, full.reshape(-1, M))]
    means = [s[:, 2:402].reshape(len(s), -1, 4).mean(axis=2) for s in spectra]
    ratio = means[0].mean(axis=0) / means[1].mean(axis=0)
    # 384 scans a side of about 6 independent values a bin: 3 % a bin, 100 bins.
    assert np.abs(ratio - 1).max() < 0.15
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)


def test_all_sources_together_add_their_covariances(make: object) -> None:
    levels = {"white": 2.5e-3, "shot": 1e-3, "rin": 1e-3, "flicker": 8e-5}
    signal = np.full((1024, M), 0.8)
    drawn = make(**levels).draw_noise(np.arange(1024), signal)
    instrument = QUIET.model_copy(update=levels)
    flicker = noise.flicker_covariance(LASER, instrument)
    for lag, extra in ((0, noise.white_variance(np.array(0.8), instrument, BLOCK)), (1, 0.0), (50, 0.0)):
        products = (drawn[:, : M - lag] * drawn[:, lag:]).mean(axis=1)
        error = products.std(ddof=1) / np.sqrt(len(products))
        assert abs(products.mean() - flicker[lag] - extra) < 4.5 * error
