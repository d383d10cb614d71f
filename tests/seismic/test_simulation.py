"""Simulated records: physics against formulas, statistics against real networks, randomness under control."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.signal import welch

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation import noise, path, source
from earthsignals.seismic.simulation.instrument import Instrument, draw_instrument
from earthsignals.seismic.simulation.record import RecordSpec, signal_to_noise_db, simulate, specs
from earthsignals.seismic.simulation.regions import largest_remainder, shifted, station_code
from earthsignals.seismic.simulation.spec import region_of
from earthsignals.seismic.simulation.waves import ENVELOPE_STEP, grid, train, white
from earthsignals.storage import EarthSignalsError

PARAMS = SeismicParams()


@pytest.fixture(scope="module")
def records() -> list[RecordSpec]:
    return specs(PARAMS)


def small(**changes: object) -> SeismicParams:
    return SeismicParams.model_validate(
        {"synthetic": {"networks": 3, "stations_per_network": 3, "records": 40, "noise_records": 6} | changes}
    )


# --- source and path ---------------------------------------------------------------------------------------


def test_spectrum_has_the_moment_at_low_and_omega_square_at_high_frequencies():
    moment, corner, beta = source.moment_nm(3.0), 8.0, 3400.0
    low, high, higher = source.velocity_spectrum(
        np.array([0.01, 800.0, 1600.0]), moment, corner, beta, source.RADIATION_S
    )
    level = 0.63 * 2.0 * moment / (4 * np.pi * 2700.0 * beta**3)
    assert low / (2 * np.pi * 0.01) == pytest.approx(level, rel=1e-4)
    assert higher / high == pytest.approx(0.5, rel=1e-3)  # velocity falls as 1/f above the corner


def test_moment_and_corner_follow_their_definitions():
    assert source.moment_nm(6.0) == pytest.approx(10**18.05)
    # Eight times the moment at equal stress drop halves the corner; a 1 MPa event of Mw 3 lies near 6 Hz.
    one = source.corner_hz(source.moment_nm(3.0), 1e6, 3500.0)
    assert source.corner_hz(8 * source.moment_nm(3.0), 1e6, 3500.0) == pytest.approx(one / 2)
    assert one == pytest.approx(0.4906 * 3500.0 * (1e6 / 10**13.55) ** (1 / 3), rel=2e-3)


def test_magnitudes_follow_gutenberg_and_richter_within_their_bounds():
    drawn = source.draw_magnitudes(philox(1, "test"), 200_000, 1.0, 5.0)
    assert drawn.min() >= 1.0 and drawn.max() <= 5.0
    ratio = (drawn > 3.0).mean() / (drawn > 2.0).mean()
    assert ratio == pytest.approx(10**-source.B_VALUE, rel=0.05)


def test_spreading_is_inverse_near_level_between_and_inverse_root_far():
    near, twice = path.spreading_per_m(10.0), path.spreading_per_m(20.0)
    assert near == pytest.approx(1e-4) and near / twice == pytest.approx(2.0)
    assert path.spreading_per_m(80.0) == path.spreading_per_m(120.0)
    assert path.spreading_per_m(200.0) / path.spreading_per_m(800.0) == pytest.approx(2.0)


def test_envelopes_integrate_to_one_and_coda_fades_faster_at_high_frequencies():
    crust = region_of(PARAMS, 0).crust
    times = path.arrivals(30.0, 5.0, crust)
    time = np.arange(0.0, 60.0, 0.005)
    band = np.array([[2.0], [20.0]])
    direct, coda = path.s_power(time, band, times, crust)
    assert np.trapezoid(direct[1], time) == pytest.approx(1.0, abs=0.1)
    assert not direct[:, time < times.s_after_p].any()
    late, later = np.searchsorted(time, [20.0, 40.0])
    drop = coda[:, later] / coda[:, late]
    expected = np.exp(-2 * np.pi * 20.0 * band[:, 0] / crust.coda_q(band[:, 0]))
    lapse = times.p_travel + np.array([20.0, 40.0]) + 0.5
    assert drop == pytest.approx(expected * (lapse[0] / lapse[1]) ** 2, rel=1e-3)
    assert drop[1] < drop[0]


# --- waves, noise, instruments -----------------------------------------------------------------------------


def test_white_noise_has_unit_one_sided_power():
    cells = grid(7000, 100.0)
    rows = np.fft.irfft(white(philox(2, "test"), cells, 40), cells.length)
    assert rows.std() == pytest.approx(np.sqrt(50.0), rel=0.01)  # 1 unit²/Hz over 50 Hz


def test_bands_add_up_to_one():
    assert grid(7000, 100.0).bands.sum(axis=0) == pytest.approx(1.0)
    assert grid(600, 25.0).bands.sum(axis=0) == pytest.approx(1.0)


def test_a_train_carries_spectrum_times_envelope_energy_and_nothing_before_its_start():
    cells = grid(4000, 100.0)
    start, points = 1000, 401
    envelope = np.exp(-np.arange(points) * ENVELOPE_STEP / 400.0)
    envelopes = np.broadcast_to(envelope, (30, len(cells.bands), points))
    waves = train(white(philox(3, "test"), cells, 30), 2.0, envelopes, start, cells)
    assert not waves[:, :start].any()
    energy = (waves**2).sum(axis=1).mean() / cells.rate_hz
    fine = np.exp(-np.arange(points * ENVELOPE_STEP) / 400.0)
    assert energy == pytest.approx(4.0 * 50.0 * (fine**2).sum() / cells.rate_hz, rel=0.1)


def test_ambient_noise_lies_at_its_level_between_petersons_models():
    frequency = np.array([0.2, 1.0, 5.0, 10.0])
    models = noise.noise_models(tuple(frequency))
    assert models[:, 3] == pytest.approx([-168.0, -91.5], abs=0.1)  # the tables at 0.1 s
    quiet = 10 * np.log10(noise.ambient_psd(frequency, models, 0.0, 0.0))
    loud = 10 * np.log10(noise.ambient_psd(frequency, models, 1.0, 1.0))
    assert quiet == pytest.approx(models[0]) and loud == pytest.approx(models[1])


def test_quiet_records_have_the_power_of_their_level(records):
    """Welch's spectrum of simulated noise, back to acceleration, against the model: no factor is lost."""
    spec = next(s for s in records if s.category == "noise" and s.kind == "HH")
    station = region_of(PARAMS, spec.region).stations[spec.place]
    spectra = []
    for index in range(40):
        counts = simulate(dataclasses.replace(spec, index=10_000 + index), PARAMS).counts
        frequency, power = welch(counts.astype(float), 100.0, nperseg=1024)
        chosen = (frequency > 3.0) & (frequency < 30.0)
        response = np.abs(station.instrument.response(frequency[chosen])) / (2 * np.pi * frequency[chosen])
        spectra.append(power[:, chosen] / response**2)
    measured = 10 * np.log10(np.median(spectra, axis=(0, 1)))
    models = noise.noise_models(tuple(frequency[chosen]))
    expected = 10 * np.log10(noise.ambient_psd(frequency[chosen], models, spec.noise_low, spec.noise_high)
                             + station.instrument.self_acceleration)
    # A station's own colour scatters by 2.5 dB about the model.
    assert abs(np.median(measured - expected)) < 4.0


@pytest.mark.parametrize("kind", ["HH", "BH", "EH", "HN"])
def test_instruments_pass_what_their_kind_passes(kind):
    frequency = np.array([0.0, 0.2, 5.0, 49.0])
    for number in range(8):
        instrument = draw_instrument(philox(number, "test"), kind, 100.0)
        response = np.abs(instrument.response(frequency))
        assert response[0] == 0.0
        motion = 2 * np.pi * 5.0 if kind == "HN" else 1.0
        assert response[2] == pytest.approx(instrument.sensitivity * motion, rel=0.01)
        assert response[3] < 0.2 * response[2] * (49.0 / 5.0 if kind == "HN" else 1.0)
        if kind == "EH":  # 40 dB per decade below the corner of 1 Hz
            assert response[1] / response[2] == pytest.approx(0.04 / instrument.low_corner_hz**2, rel=0.05)
        if kind in ("HH", "BH"):
            assert response[1] / response[2] == pytest.approx(1.0, rel=0.01)
        if kind == "BH":
            assert instrument.high_corner_hz < 20.0


def test_poles_and_zeros_give_the_response():
    instrument = Instrument("EH", 1e8, 1.0, 22.0, 4, 0.01, 1e-16, 2**15)
    s = 2j * np.pi * np.array([0.5, 3.0, 20.0, 40.0])
    expected = 1e8 * s**2
    for pole in instrument.poles():
        assert pole.real < 0  # stable
        expected = expected / (s - pole)
    telemetry = (2 * np.pi * 22.0) ** 4
    assert instrument.response(s.imag / (2 * np.pi)) == pytest.approx(expected * telemetry)
    assert abs(instrument.response(np.array([22.0]))[0]) == pytest.approx(1e8 / np.sqrt(2), rel=0.01)


# --- specifications ----------------------------------------------------------------------------------------


def test_the_list_has_the_counts_shares_and_ranges_of_the_parameters(records):
    synthetic = PARAMS.synthetic
    quakes, quiet = records[: synthetic.records], records[synthetic.records :]
    assert {s.category for s in quakes} == {"earthquake"} and {s.category for s in quiet} == {"noise"}
    assert len(quakes) == synthetic.records and len(quiet) == synthetic.noise_records
    assert [s.index for s in records] == list(range(len(records)))
    for kind, share in synthetic.shares.items():
        assert np.mean([s.kind == kind for s in quakes]) == pytest.approx(share, abs=0.02)
    assert all(synthetic.magnitude.low <= s.magnitude <= synthetic.magnitude.high for s in quakes)
    assert all(synthetic.distance_km.low <= s.distance_km <= synthetic.distance_km.high for s in quakes)
    assert len({(s.event, s.station) for s in quakes}) == len(quakes)


def test_regions_share_neither_stations_nor_events(records):
    for key in ("station", "event"):
        owner: dict[str, int] = {}
        for spec in records:
            value = getattr(spec, key)
            assert not value or owner.setdefault(value, spec.region) == spec.region
    assert len({station_code(r, p) for r in range(0, 10_000, 7) for p in range(0, 1000, 13)}) == 1429 * 77


def test_events_are_seen_by_several_stations_with_one_origin(records):
    events: dict[str, list[RecordSpec]] = {}
    for spec in records:
        if spec.event:
            events.setdefault(spec.event, []).append(spec)
    assert np.mean([len(group) for group in events.values()]) > 3
    for group in events.values():
        assert len({(s.origin_time, s.magnitude, s.latitude, s.depth_km) for s in group}) == 1


def test_epicentres_and_stations_agree_with_distance_and_azimuth(records):
    from obspy.geodetics import gps2dist_azimuth

    for spec in records[:60]:
        station = region_of(PARAMS, spec.region).stations[spec.place]
        metres, azimuth, _ = gps2dist_azimuth(
            spec.latitude, spec.longitude, station.latitude, station.longitude
        )
        assert metres / 1e3 == pytest.approx(spec.distance_km, rel=0.02)
        assert abs((azimuth - spec.azimuth_deg + 180) % 360 - 180) < 2.0


def test_the_same_parameters_give_the_same_list_and_another_seed_another(records):
    assert specs(small()) == specs(small())
    assert specs(small()) != specs(small(seed=7))


def test_every_size_of_network_works():
    one = specs(small(stations_per_network=1, records=31, noise_records=0))
    assert len(one) == 31 and {s.category for s in one} == {"earthquake"}
    assert {s.kind for s in specs(small(shares={"HN": 1.0}))} == {"HN"}


def test_earthquakes_that_nobody_could_record_are_refused_with_a_sentence():
    with pytest.raises(EarthSignalsError, match=r"none of 2,560 earthquakes .*magnitudes -2–-1.5"):
        specs(small(magnitude={"low": -2.0, "high": -1.5}, distance_km={"low": 300.0, "high": 400.0}))


def test_whole_shares_add_up():
    assert largest_remainder([0.5, 0.28, 0.12, 0.1], 180) == [90, 50, 22, 18]
    assert largest_remainder([1.0, 1.0, 1.0], 4) == [2, 1, 1]


def test_shifted_points_cross_the_date_line():
    latitude, longitude = shifted(10.0, 179.9, 50.0, 0.0)
    assert latitude == 10.0 and -180.0 <= longitude < -179.0


# --- records -----------------------------------------------------------------------------------------------


def test_signal_to_noise_has_the_distribution_of_real_networks(records):
    """Median ≈ 26 dB and 5–95 % ≈ 9–53 dB, as in public catalogues; and nothing that no catalogue holds."""
    quakes = [s for s in records if s.category == "earthquake"][::23]  # 23: all regions
    ratios = np.array([simulate(spec, PARAMS).truth["snr_db"] for spec in quakes])
    low, median, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    assert median == pytest.approx(26.0, abs=2.0)
    assert low == pytest.approx(9.0, abs=4.0)
    assert high == pytest.approx(53.0, abs=5.0)
    assert (ratios < 3.0).mean() < 0.02


def test_p_and_s_come_when_the_record_says(records):
    """Where P stands out, the vertical jumps within a fifth of a second of it; S−P is the distance's."""
    jumps = []
    for spec in [s for s in records if s.category == "earthquake"][:60]:
        record = simulate(spec, PARAMS)
        region = region_of(PARAMS, spec.region)
        hypocentral = np.hypot(spec.distance_km, spec.depth_km) * 1e3
        expected = hypocentral * (1 / region.crust.beta - 1 / region.crust.alpha)
        assert (record.s_sample - record.p_sample) / 100.0 == pytest.approx(expected, abs=0.006)
        if record.truth["snr_db"] < 35:
            continue
        vertical = np.abs(np.diff(record.counts[2].astype(float)))  # the slow part has no onset
        strong = 0.2 * vertical[1000:1050].max()  # far above the anti-alias filter's forerunners
        jumps.append(int(np.argmax(vertical > strong)) - record.p_sample)
    assert len(jumps) > 10
    assert np.mean(np.abs(jumps) <= 20) >= 0.9 and abs(np.median(jumps)) <= 5


def test_other_phases_change_the_scatter_alone(records):
    quakes = [s for s in records if s.category == "earthquake"][:16]
    ratio = []
    for spec in quakes:
        first, again, other = simulate(spec, PARAMS), simulate(spec, PARAMS), simulate(spec, PARAMS, phases=1)
        assert np.array_equal(first.counts, again.counts)
        assert (first.p_sample, first.s_sample) == (other.p_sample, other.s_sample)
        a, b = (np.diff(r.counts, axis=1)[:, first.p_sample : first.p_sample + 2000].astype(float)
                for r in (first, other))
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.5
        ratio.append(np.log(a.std() / b.std()))
    assert abs(np.mean(ratio)) < 0.1 and np.std(ratio) < 0.4  # the same expectation, and its scatter


def test_counts_are_integers_within_full_scale(records):
    for spec in records[::500]:
        record = simulate(spec, PARAMS)
        full = region_of(PARAMS, spec.region).stations[spec.place].instrument.full_scale
        assert record.counts.dtype == np.int32 and record.counts.shape == (3, 7000)
        assert np.abs(record.counts.astype(np.int64)).max() <= full


def test_noise_records_have_no_arrivals(records):
    record = simulate(records[-1], PARAMS)
    assert record.p_sample is None and record.s_sample is None and record.truth == {}


def test_kinds_look_as_their_instruments_make_them(records):
    """BH is empty above its old Nyquist frequency; the broadband sways slowly where the others do not."""
    shares: dict[str, list[float]] = {}
    for spec in [s for s in records if s.category == "earthquake"][:240:4]:
        frequency, power = welch(simulate(spec, PARAMS).counts.astype(float), 100.0, nperseg=512)
        power = power.sum(axis=0)
        high = power[frequency > 22].sum() / power[frequency > 1].sum()
        low = power[frequency < 1].sum() / power.sum()
        shares.setdefault(spec.kind, []).append((high, low))
    high, low = ({kind: np.median([pair[i] for pair in found]) for kind, found in shares.items()}
                 for i in (0, 1))
    assert high["BH"] < 1e-3 < high["HH"] < high["HN"]
    assert low["HH"] > 2 * low["HN"]


def test_another_window_moves_p_and_the_rate():
    params = SeismicParams.model_validate({
        "window": {"sampling_rate_hz": 50.0, "before_p_s": 5.0, "after_p_s": 20.0},
        "synthetic": {"networks": 3, "records": 30, "noise_records": 0},
    })  # fmt: skip
    record = simulate(specs(params)[0], params)
    assert record.counts.shape == (3, 1250) and record.p_sample == 250


def test_signal_to_noise_is_the_ratio_of_deviations():
    rng = np.random.default_rng(0)
    counts = rng.normal(0.0, 100.0, (3, 7000))
    counts[1, 1000:] *= 10.0
    assert signal_to_noise_db(np.rint(counts).astype(np.int32), 1000, 100.0) == pytest.approx(20.0, abs=0.6)
    assert np.isfinite(signal_to_noise_db(np.zeros((3, 7000), np.int32), 1000, 100.0))
