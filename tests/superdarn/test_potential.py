"""Potentials and fitted drift of map files: real files' own figures, closed forms, and gradients."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.harmonics import legendre, shifted
from earthsignals.superdarn.maps import boundary_mlat, maps_of, read_maps
from earthsignals.superdarn.potential import (
    ALTITUDE_M,
    EARTH_RADIUS_M,
    POLAR_FIELD_T,
    dipole_field,
    drift,
    extremes,
    potential,
    residuals,
)  # fmt: skip

REAL = ("pydarn_tests/test.north.mp", "dmap_tests/test.map", "dmap_tests/test.map.bz2")


def record(order: int = 1, latmin: float = 60.0, hemisphere: int = 1, **fields: Any) -> dict[str, Any]:
    """A record whose coefficients are zero but for those named c<index>, in volts."""
    coefficients = np.zeros((order + 1) ** 2)
    for name in [name for name in fields if name[0] == "c" and name[1:].isdigit()]:
        coefficients[int(name[1:])] = fields.pop(name)
    times = {f"{end}.{part}": value for end in ("start", "end")
             for part, value in {"year": 2015, "month": 3, "day": 1, "minute": 2}.items()}  # fmt: skip
    base = {"fit.order": order, "latmin": latmin * hemisphere, "hemisphere": hemisphere, "N+2": coefficients}
    return base | times | fields


def random_record(seed: int, order: int, latmin: float = 60.0, hemisphere: int = 1, **more: Any) -> dict:
    values = np.random.default_rng(seed).normal(0, 1e4, (order + 1) ** 2)
    degree = np.sqrt(np.arange(len(values))).astype(int)
    offset = np.arange(len(values)) - degree**2
    falling = np.cumprod(np.r_[1.0, np.arange(1, 2 * order, 2.0)])[(offset + 1) // 2]
    return record(order, latmin, hemisphere, **more) | {"N+2": values / falling / (1 + degree)}


@pytest.mark.parametrize("name", REAL)
def test_a_real_files_own_limits_and_residual_are_found_again(real_data: Path, name: str) -> None:
    # The file was written by RST's map_fit: its limits are of the same coefficients at the same points, so
    # they agree to rounding. Its residual was fitted with the IGRF field where ours is a dipole's.
    path = real_data / "superdarn" / name
    if not path.is_file():
        pytest.skip(f"no real map file {path}: set EARTHSIGNALS_REAL_DATA")
    maps = read_maps(path)
    found = extremes(maps)
    for key in ("pot.drop", "pot.max", "pot.min"):
        np.testing.assert_allclose(found[key], maps.stated[key], rtol=1e-12, err_msg=key)
    rms, counts = residuals(maps)
    np.testing.assert_allclose(rms, maps.stated["rms.err"], rtol=0.01)
    assert all(count > 100 for count in counts)
    # The file's limits are of samples: a fine grid reaches further, never by much.
    fine = potential(maps, np.arange(60, 90.01, 0.25)[:, None], np.arange(0, 360, 0.5))
    assert np.all(fine.max((1, 2)) >= 0.999 * found["pot.max"])
    np.testing.assert_allclose(np.ptp(fine, axis=(1, 2)), found["pot.drop"], rtol=0.005)


def test_compression_changes_nothing(real_data: Path) -> None:
    plain, packed = (real_data / "superdarn" / name for name in REAL[1:])
    if not packed.is_file():
        pytest.skip(f"no real map file {packed}: set EARTHSIGNALS_REAL_DATA")
    np.testing.assert_array_equal(read_maps(plain).coefficients, read_maps(packed).coefficients)


def test_the_zonal_mode_is_a_cosine_of_the_stretched_colatitude() -> None:
    # A_10 alone: Φ = V cos θ′, from V at the pole to −V at latmin; E_θ = V α sin θ′ / R drifts east.
    volts, latmin = 1e4, 60.0
    maps = maps_of([record(latmin=latmin, c1=volts)])
    mlat = np.array([90.0, 75.0, 67.5, 60.0])
    np.testing.assert_allclose(potential(maps, mlat, 33.0)[0], volts * np.array([1, 0, -np.sqrt(0.5), -1]),
                               atol=1e-9)  # fmt: skip
    north, east = drift(maps, mlat, 33.0)[0]
    stretch = 180 / 30
    expected = volts * stretch * np.sin(np.radians(90 - mlat) * stretch) / EARTH_RADIUS_M / dipole_field(mlat)
    np.testing.assert_allclose(east, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(north, 0, atol=1e-9)


@pytest.mark.parametrize("hemisphere", [1, -1])
def test_across_the_pole_the_drift_is_one_vector(hemisphere: int) -> None:
    # A_11: Φ = −A sin θ′ cos φ, near the pole −A α θ cos φ: a uniform field, seen from any longitude.
    maps = maps_of([record(c2=9e3, hemisphere=hemisphere)])
    for mlat in (90.0, 89.9999999, 90 - 1e-4):
        mlon = np.arange(0, 360, 30.0)
        north, east = drift(maps, hemisphere * mlat, mlon)[0]
        # On a plane with x towards longitude 0: east is (−sin, cos), towards the pole (−cos, −sin).
        phi, to_pole = np.radians(mlon), north * hemisphere
        x, y = -east * np.sin(phi) - to_pole * np.cos(phi), east * np.cos(phi) - to_pole * np.sin(phi)
        speed = 9e3 * 6 / EARTH_RADIUS_M / dipole_field(90.0)
        # E lies along x, so the drift lies across it, and has the same sense whatever the longitude.
        np.testing.assert_allclose(np.hypot(x, y), speed, rtol=1e-4)
        np.testing.assert_allclose(x, 0, atol=1e-4 * speed)
        np.testing.assert_allclose(y, y[0], rtol=1e-4)


def test_convection_runs_antisunward_between_the_two_cells_of_southward_imf() -> None:
    # Positive potential at dawn (MLT 6), negative at dusk, drives the polar cap from noon to midnight, in
    # either hemisphere. With MLT = mlon/15: dawn at mlon 90, noon at 180; B_11 goes with sin φ, P_1^1 < 0.
    for hemisphere in (1, -1):
        maps = maps_of([record(c3=-2e4, hemisphere=hemisphere)])
        assert potential(maps, 80.0, 90.0)[0] > 0 > potential(maps, 80.0, 270.0)[0]
        to_pole_at_noon = hemisphere * drift(maps, hemisphere * 88.0, 180.0)[0, 0]
        to_pole_at_midnight = hemisphere * drift(maps, hemisphere * 88.0, 0.0)[0, 0]
        assert to_pole_at_noon > 100 and to_pole_at_midnight < -100


@pytest.mark.parametrize(("shift", "hemisphere"), [((0, 0), 1), ((4, 0), 1), ((4, 30), 1), ((-3, 20), -1)])
def test_drift_is_the_gradient_of_the_potential(shift: tuple[float, float], hemisphere: int) -> None:
    maps = maps_of([random_record(1, 6, 58.0, hemisphere, **{"lat.shft": shift[0], "lon.shft": shift[1]})])
    mlat, mlon, step = np.array([80.3, 84, 86, 71.2]), np.array([10.0, 100, 200, 320]), 1e-4
    radius = EARTH_RADIUS_M * 2 * np.radians(step)
    equatorward = (potential(maps, mlat - step, mlon) - potential(maps, mlat + step, mlon)) / radius
    around = potential(maps, mlat, mlon + step) - potential(maps, mlat, mlon - step)
    around /= radius * np.sin(np.radians(90 - mlat))
    field = dipole_field(mlat)
    north, east = drift(maps, hemisphere * mlat, mlon)[0]
    np.testing.assert_allclose(east, -equatorward[0] / field, atol=1e-4)
    np.testing.assert_allclose(north, -hemisphere * around[0] / field, atol=1e-4)


def test_the_shifted_pole_lies_where_it_is_said_to_lie() -> None:
    # 5° from the magnetic pole at longitude 180° − 40°: there the zonal mode has its maximum.
    maps = maps_of([record(c1=1e4, **{"lat.shft": 5.0, "lon.shft": 40.0})])
    assert potential(maps, 85.0, 140.0)[0] == pytest.approx(1e4, rel=1e-12)
    theta, _, turn = shifted(np.array([85.0, 70]), np.array([140.0, 10]), 5.0, 40.0)
    assert np.degrees(theta[0]) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(turn[0] ** 2 + turn[1] ** 2, 1, rtol=1e-12)
    # A longitude shift by itself does nothing (RST adds it and takes it off again).
    still = maps_of([random_record(2, 4, **{"lon.shft": 40.0}), random_record(2, 4)])
    there = potential(still, 75.0, np.arange(0, 360, 15.0))
    np.testing.assert_array_equal(there[0], there[1])


def test_many_records_and_any_points_are_the_same_as_one_by_one() -> None:
    records = [random_record(n, 2 + n % 4, 56.0 + n % 3, 1 - 2 * (n % 2)) for n in range(9)]
    together = maps_of(records)
    mlat, mlon = np.meshgrid(np.arange(50, 91, 3.0), np.arange(0, 360, 24.0))
    draw = np.random.default_rng(5)
    scattered = draw.uniform(50, 90, 200), draw.uniform(-360, 720, 200)
    for points in ((mlat, mlon), scattered):
        volts, speeds = potential(together, *points), drift(together, *points)
        assert volts.shape == (9, *points[0].shape) and speeds.shape == (9, 2, *points[0].shape)
        for n, one in enumerate(records):
            alone = maps_of([one])
            np.testing.assert_allclose(volts[n], potential(alone, *points)[0], rtol=0, atol=1e-8)
            np.testing.assert_allclose(speeds[n], drift(alone, *points)[0], rtol=0, atol=1e-8)
            np.testing.assert_allclose(extremes(together)["pot.max"][n], extremes(alone)["pot.max"][0])
    # A grid's points are summed by rows and columns, scattered ones one by one: the same to rounding.
    by_grid = potential(together, mlat, mlon)[:, 3, 4]
    np.testing.assert_allclose(by_grid, potential(together, mlat[3, 4], mlon[3, 4]), atol=1e-8)


def test_equatorward_of_latmin_there_is_nothing() -> None:
    maps = maps_of([random_record(3, 4, 65.0)])
    assert np.all(potential(maps, [64.999, 50, 0], 10.0) == 0)
    assert np.all(drift(maps, [64.999, 50, 0], 10.0) == 0)
    assert potential(maps, 65.0, 10.0)[0] != 0


def test_the_dipole_halves_from_the_pole_to_the_equator() -> None:
    at_height = 1 - 3 * ALTITUDE_M / EARTH_RADIUS_M
    np.testing.assert_allclose(dipole_field([90, -90, 0]), POLAR_FIELD_T * at_height * np.array([1, 1, 0.5]))


def test_legendre_functions_and_their_slopes_in_closed_form() -> None:
    theta = np.linspace(0, np.pi, 7)
    x, s = np.cos(theta), np.sin(theta)
    values, slopes = legendre(2, theta)
    closed = {(1, 0): (x, -s), (1, 1): (-s, -x), (2, 0): ((3 * x**2 - 1) / 2, -3 * x * s),
              (2, 1): (-3 * x * s, -3 * np.cos(2 * theta)), (2, 2): (3 * s**2, 6 * s * x)}  # fmt: skip
    for (degree, order), (value, slope) in closed.items():
        np.testing.assert_allclose(values[degree, order], value, atol=1e-7)
        np.testing.assert_allclose(slopes[degree, order], slope, atol=1e-7)


def test_the_residual_is_of_the_vectors_that_are_fitted() -> None:
    mlat, mlon = np.array([70.0, 75, 80, 55, 78]), np.array([10.0, 60, 200, 30, 90])
    azimuth = np.array([0.0, 45, -120, 10, 80])
    base = random_record(4, 3, 60.0)
    north, east = drift(maps_of([base]), mlat, mlon)[0]
    velocity = north * np.cos(np.radians(azimuth)) + east * np.sin(np.radians(azimuth))
    # 3 m/s off each; the fourth lies equatorward of latmin, the fifth is faster than what is fitted.
    velocity += np.array([3.0, -3, 3, 500, 0])
    velocity[4] = 2500.0
    fields = {"vector.mlat": mlat, "vector.mlon": mlon, "vector.kvect": azimuth,
              "vector.vel.median": velocity}  # fmt: skip
    rms, counts = residuals(maps_of([base | fields, base]))
    assert counts.tolist() == [3, 0]
    assert rms[0] == pytest.approx(3.0, rel=1e-6) and np.isnan(rms[1])


def test_the_boundary_is_interpolated_around_the_circle() -> None:
    nodes = np.arange(0, 360, 90.0)
    boundary = {"boundary.mlon": nodes, "boundary.mlat": np.array([60.0, 64, 70, 66])}
    maps = maps_of([record(**boundary), record()])
    np.testing.assert_allclose(boundary_mlat(maps, 0, [0, 45, 315, -45, 360]), [60, 62, 63, 63, 60])
    with pytest.raises(EarthSignalsError, match="record 1 holds no boundary.*map_addhmb"):
        boundary_mlat(maps, 1, 0.0)


def test_damaged_records_are_named(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="x.map: it holds no records"):
        maps_of([], "x.map")
    whole = record(2)
    for field in ("N+2", "latmin", "fit.order"):
        with pytest.raises(EarthSignalsError, match=rf"x.map: record 1 has no {field.replace('+', '.')}"):
            maps_of([whole, {k: v for k, v in whole.items() if k != field}], "x.map")
    with pytest.raises(EarthSignalsError, match="4 coefficients for order 2, expected 9"):
        maps_of([whole | {"N+2": np.zeros(4)}], "x.map")
    with pytest.raises(EarthSignalsError, match="latmin 90"):
        maps_of([whole | {"latmin": 90.0}], "x.map")
    with pytest.raises(EarthSignalsError, match="start is no time"):
        maps_of([whole | {"start.month": 13}], "x.map")
    (tmp_path / "not.map").write_bytes(b"nothing of the kind" * 10)
    with pytest.raises(EarthSignalsError, match=r"not\.map"):
        read_maps(tmp_path / "not.map")


def test_every_field_of_a_record_matters() -> None:
    base = random_record(6, 3, 60.0, **{"lat.shft": 2.0, "lon.shft": 5.0})
    values = {"latmin": 62.0, "lat.shft": 3.0, "lon.shft": 25.0, "N+2": 1.1 * base["N+2"]}
    kept = potential(maps_of([base]), 75.0, 40.0)[0]
    for field, value in values.items():
        assert potential(maps_of([base | {field: value}]), 75.0, 40.0)[0] != pytest.approx(kept), field
    maps = maps_of([base])
    south = dataclasses.replace(maps, hemisphere=-maps.hemisphere)
    north, mirrored = drift(maps, 75.0, 40.0)[0], drift(south, -75.0, 40.0)[0]
    np.testing.assert_allclose(mirrored, north * [-1, 1])
