"""Synthetic days: physics against formulas, statistics against the real day, bytes against worker counts."""

from __future__ import annotations

import datetime as dt
import hashlib

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.gridfile import read_grid
from earthsignals.superdarn.simulation import convection, imf, observe
from earthsignals.superdarn.simulation.days import radars_of, simulate_day, write_days
from earthsignals.superdarn.simulation.series import DAY_MINUTES, ornstein_uhlenbeck
from earthsignals.superdarn.simulation.turbulence import Turbulence, plane


def small(**changes: object) -> SuperdarnParams:
    return SuperdarnParams.model_validate({"simulation": {"days": 3, "radars": 3} | changes})


@pytest.fixture(scope="module")
def one_day():
    return simulate_day(SuperdarnParams.model_validate({"simulation": {"radars": 22, "drop_out": 0.0}}), 2)


# --- series ------------------------------------------------------------------------------------------------


def test_series_have_unit_variance_the_asked_memory_and_no_seam_at_midnight():
    memory = np.full(400, 20.0)
    today, tomorrow = (ornstein_uhlenbeck(3, "test", day, memory) for day in (0, 1))
    assert today.var() == pytest.approx(1.0, abs=0.05)
    for lag in (5, 20, 60):
        assert np.mean(today[lag:] * today[:-lag]) == pytest.approx(np.exp(-lag / 20.0), abs=0.04)
    across = tomorrow[0] - today[-1]
    assert across.std() == pytest.approx(np.sqrt(2 * (1 - np.exp(-1 / 20.0))), rel=0.15)
    # Looking back ten memories is as good as looking back two days.
    assert np.abs(ornstein_uhlenbeck(3, "test", 1, memory, 200) - tomorrow).max() < 1e-3


def test_the_field_is_that_of_the_solar_wind_and_joins_from_day_to_day():
    days = [imf.field(5, day) for day in range(12)]
    whole = np.concatenate(days)
    assert 2.0 < whole[:, 0].std() < 5.0 and 2.0 < whole[:, 1].std() < 6.0
    assert whole[:, 1].min() < -6  # storms come
    step = np.abs(np.diff(whole, axis=0))
    seams = step[DAY_MINUTES - 1:: DAY_MINUTES]
    assert seams.max() < 3 * step.std() + np.quantile(step, 0.999)


def test_coupling_is_zero_for_northward_and_the_whole_field_for_southward():
    assert imf.coupling(np.array([[0.0, 6.0], [0.0, -6.0], [6.0, 0.0]])) == pytest.approx([0.0, 6.0, 3.0])


# --- convection --------------------------------------------------------------------------------------------


def two_cells(kilovolts: float = 60.0, radius: float = 25.0) -> convection.Convection:
    """Two undisturbed cells around the pole."""
    basis = convection._basis()
    coefficients = np.zeros((DAY_MINUTES, basis.value.shape[1]))
    coefficients[:, basis.two_cells] = 500.0 * kilovolts
    return convection.Convection(
        coefficients, np.full(DAY_MINUTES, radius), np.zeros((DAY_MINUTES, 2)), np.zeros((DAY_MINUTES, 2))
    )


def test_two_cells_flow_away_from_the_sun_over_the_pole_and_back_at_the_flanks():
    state = two_cells()
    assert state.potential_kv[0] == pytest.approx(60.0, rel=1e-3)
    hours = np.array([[12.0, 0.0, 18.0, 6.0]])
    over = convection.drift(state, [0], np.full(4, 86.0), hours)[0]
    assert over[0, 0] > 200 and over[0, 1] < -200  # north at noon, south at midnight
    assert over[1, 2] > 200 and over[1, 3] < -200  # at dusk antisunward is east, at dawn west
    low = convection.drift(state, [0], np.full(4, 68.0), hours)[0]
    assert low[1, 2] < -50 and low[1, 3] > 50  # towards noon again


def test_drift_is_the_gradient_of_the_potential_over_the_field():
    # ∮ E·dl around the pole vanishes, and between dawn and dusk over the pole it is the potential.
    state = two_cells(80.0)
    colatitude = np.linspace(0.05, 35, 3000)
    sides = [
        convection.drift(state, [0], 90 - colatitude, np.full((1, 3000), hour))[0, 1] for hour in (6.0, 18.0)
    ]
    metres = np.deg2rad(np.diff(colatitude)[0]) * 6671.2e3
    # v_east = -E_north/B, and towards the pole the potential rises by -E_north.
    rise = [np.sum(side * convection.dipole_field(90 - colatitude)) * metres / 1e3 for side in sides]
    assert rise[0] == pytest.approx(0.0, abs=1.5) and rise[1] == pytest.approx(0.0, abs=1.5)
    field_t = convection.dipole_field(90 - colatitude[::-1])
    peak = [np.abs(np.cumsum(side[::-1] * field_t)).max() * metres / 1e3 for side in sides]
    assert peak[0] + peak[1] == pytest.approx(80.0, rel=0.02)


def test_no_drift_equatorward_of_the_boundary():
    state = two_cells(radius=20.0)
    mlat = np.array([90 - 20 * convection.EDGE - 0.1, 55.0, 50.0])
    assert np.all(convection.drift(state, [0, 700], mlat, np.full((2, 3), 3.0)) == 0)


def test_southward_field_makes_more_potential_and_a_larger_oval():
    state = convection.day_of_convection(70, 0)
    for day in range(1, 6):
        more = convection.day_of_convection(70, day)
        if imf.coupling(more.imf).mean() > imf.coupling(state.imf).mean():
            state = more
    drive = imf.smoothed(imf.coupling(state.imf), 45.0)
    strong, weak = drive > np.quantile(drive, 0.8), drive < np.quantile(drive, 0.2)
    assert state.potential_kv[strong].mean() > 1.3 * state.potential_kv[weak].mean()
    assert state.radius[strong].mean() > state.radius[weak].mean() + 2
    assert state.potential_kv.min() > 15 and state.potential_kv.max() < 220


# --- turbulence --------------------------------------------------------------------------------------------


def test_turbulence_has_the_asked_strength_fades_with_distance_and_does_not_depend_on_the_axes():
    index = cells_above(60.0)[::3]
    mlat, mlon = cell_centre(index)
    minutes = np.arange(0, DAY_MINUTES, 40)
    values = np.concatenate([Turbulence(9, day, 100.0).drift(minutes, mlat, mlon) for day in range(3)])
    assert np.sqrt((values**2).mean(axis=(0, 2))) == pytest.approx([100.0, 100.0], rel=0.2)
    places = plane(mlat, mlon)
    distance = np.hypot(*(places - places[50]).T)
    near, far = (distance > 0) & (distance < 350), distance > 3000
    likeness = (values * values[:, :, 50:51]).mean(axis=(0, 1)) / (values[:, :, 50] ** 2).mean()
    assert likeness[near].mean() > 0.2 and abs(likeness[far].mean()) < 0.1
    assert np.all(Turbulence(9, 0, 0.0).drift(minutes[:2], mlat, mlon) == 0)


# --- what radars see ---------------------------------------------------------------------------------------


def test_without_errors_a_vector_is_the_drift_along_its_azimuth(monkeypatch):
    monkeypatch.setattr(observe, "MISPLACED", 0.0)
    params = small(noise_m_s=0.0, radars=1)
    vectors, _, truth = simulate_day(params, 0)
    chosen = np.arange(0, len(vectors), 997)
    some = vectors.take(chosen)
    minutes = ((some.start_s - truth.midnight_s) / 60 + 1).astype(int)
    for vector, minute in enumerate(minutes[:20]):
        here = truth.at(np.array([minute]), *(np.array([each]) for each in cell_centre(some.index[vector])))
        angle = np.deg2rad(some.kvect[vector])
        along = here[0, 0, 0] * np.cos(angle) + here[0, 1, 0] * np.sin(angle)
        # Rounded to 1/64 m/s; kvect is kept in single precision.
        assert some.velocity[vector] == pytest.approx(along, abs=0.02)
    assert np.all(vectors.velocity >= 0)


def test_a_day_looks_like_the_real_one(one_day):
    """22 northern radars on 2015-03-01: 553 vectors in 418 cells a frame (8.4 % of 4,825), RMS 317 m/s."""
    vectors, _, _ = one_day
    frame = ((vectors.start_s - vectors.start_s.min()) // 120).astype(int)
    assert 300 < len(vectors) / 720 < 900
    cells_seen = np.mean([len(np.unique(vectors.index[frame == each])) for each in range(0, 720, 24)])
    assert 0.05 < cells_seen / 4825 < 0.14
    speed = vectors.velocity.astype(float)
    assert 230 < np.sqrt((speed**2).mean()) < 420
    assert np.median(speed) / np.sqrt((speed**2).mean()) < 0.66  # heavier tails than a normal law's 0.674


@pytest.mark.parametrize(
    ("minutes", "likeness", "again"), [(2, 0.95, 0.85), (10, 0.84, 0.67), (30, 0.75, 0.54), (60, 0.635, 0.46)]
)
def test_velocities_and_echoes_persist_as_on_the_real_day(one_day, minutes, likeness, again):
    """likeness: the damping factor; again: how often a radar's cell is seen once more after that time."""
    vectors, _, _ = one_day
    angle = np.deg2rad(vectors.kvect)
    key = vectors.stid.astype(np.int64) * 100_000 + vectors.index
    # The sign of a radar's cell relative to the first direction it was seen in.
    _, first, member = np.unique(key, return_index=True, return_inverse=True)
    signed = vectors.velocity * np.sign(np.cos(angle - angle[first][member]))
    moment = (vectors.start_s / 60).astype(np.int64)
    order = {pair: value for pair, value in zip(zip(key, moment, strict=True), signed, strict=True)}
    pairs = np.array([
        (value, order[cell, when + minutes]) for (cell, when), value in order.items()
        if (cell, when + minutes) in order
    ])  # fmt: skip
    damping = (pairs[:, 0] @ pairs[:, 1]) / (pairs[:, 0] @ pairs[:, 0])
    # One day; twelve of them have 0.93, 0.85, 0.76 and 0.63.
    assert damping == pytest.approx(likeness, rel=0.2)
    assert len(pairs) / len(order) == pytest.approx(again, rel=0.2)


def test_radars_have_their_own_clocks_and_outages_of_hours():
    vectors, seen, truth = simulate_day(small(drop_out=0.4), 1)
    for slot, place in enumerate(radars_of(small())):
        own = vectors.take(vectors.stid == place.stid)
        minutes = ((own.start_s - truth.midnight_s) / 60).astype(int)
        assert np.all(minutes % 2 == observe.phase_minutes(slot))
        assert np.all(own.end_s - own.start_s == 120) and own.end_s.max() <= truth.midnight_s + 86_400
        middles = np.unique((minutes + 1) // 120)
        assert len(middles) <= 12 - seen[slot].silent_hours // 2
    assert sum(each.silent_hours for each in seen) > 0
    assert {observe.phase_minutes(slot) for slot in range(3)} == {0, 1}


def test_ground_scatter_is_taken_out_and_counted(one_day):
    vectors, seen, _ = one_day
    slow = (vectors.velocity < observe.GROUND_M_S).sum()
    taken = sum(each.ground for each in seen)
    assert taken / (taken + slow) == pytest.approx(observe.GROUND_REMOVED, abs=0.02)


def test_every_knob_of_the_simulation_changes_the_vectors():
    def told(**changes):
        vectors, _, _ = simulate_day(small(**({"radars": 1} | changes)), 1)
        return hashlib.md5(vectors.velocity.tobytes()).hexdigest()

    changes = [
        {}, {"noise_m_s": 60.0}, {"turbulence_m_s": 60.0}, {"drop_out": 0.9}, {"seed": 1}, {"radars": 2},
        {"first_day": dt.date(2016, 9, 1)},
    ]  # fmt: skip

    assert len({told(**each) for each in changes}) == len(changes)


# --- files -------------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_and_a_day_is_the_same_bytes_alone(tmp_path, monkeypatch):
    import h5py

    from earthsignals.superdarn.simulation import days

    params, real, calls = small(radars=1), days._make_day, []

    def dies(day, **rest):
        calls.append(day)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(day, **rest)

    monkeypatch.setattr(days, "_make_day", dies)
    with pytest.raises(KeyboardInterrupt):
        write_days(params, tmp_path / "out", resume_root=tmp_path / "resume")
    assert not list((tmp_path / "out").iterdir())  # nothing under a final name yet
    made = {each: each.stat().st_mtime_ns for each in (tmp_path / "resume").glob("*/*/*.bz2")}
    assert [each.name for each in sorted(made)] == ["20150301.north.grid.bz2", "20150302.north.grid.bz2"]

    monkeypatch.setattr(days, "simulate_day", _only(2))
    told = write_days(params, tmp_path / "out", resume_root=tmp_path / "resume")
    monkeypatch.undo()
    assert told.files == ("20150301.north.grid.bz2", "20150302.north.grid.bz2", "20150303.north.grid.bz2")
    assert not list((tmp_path / "resume").glob("*/*"))

    vectors, reading = read_grid(tmp_path / "out" / told.files[1])
    assert reading.notes == () and told.vectors > len(vectors) > 100
    alone, _, truth = simulate_day(params, 1)
    assert vectors.equals(alone.sorted())
    with h5py.File(tmp_path / "out" / "truth.h5") as file:
        assert file["drift"].shape == (3 * 144, 2, 4825)
        assert np.all(np.diff(file["times_s"]) == 600)
        expected = truth.at(np.array([601]), *cell_centre(file["index"][:]))[0]
        # Half precision: eleven bits.
        assert np.abs(file["drift"][144 + 60] - expected).max() <= np.abs(expected).max() * 2**-11
        assert file["times_s"][144 + 60] == truth.midnight_s + 601 * 60
        assert file["imf"].shape == (432, 2) and np.all(file["potential_kV"][:] > 0)


def _only(allowed):
    """`simulate_day` for one day alone: what was made before the kill is not made again."""

    def simulate(params, day):
        assert day == allowed
        return simulate_day(params, day)

    return simulate


def test_more_radars_than_there_are_is_one_sentence():
    with pytest.raises(EarthSignalsError, match=r"superdarn.simulation.radars is 64, .* 34 northern"):
        radars_of(small(radars=64))
