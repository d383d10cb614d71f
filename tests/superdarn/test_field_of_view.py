"""Gates on the ground and in AACGM: analytic limits, and the cells and directions of real grid files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from earthsignals.superdarn.cells import cell_centre, cell_index
from earthsignals.superdarn.field_of_view import (
    aacgm,
    cells,
    gate_positions,
    gate_ranges,
    magnetic_azimuth,
    virtual_height,
)
from earthsignals.superdarn.stations import by_code, of_hemisphere

DAY = dt.datetime(2015, 3, 1)


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between two azimuths, degrees in [-180, 180)."""
    return (np.asarray(first) - second + 180) % 360 - 180


def test_virtual_height_is_the_published_one():
    # Chisham et al. (2008), their three pieces; between E and F region the model steps by some kilometres.
    heights = virtual_height(np.array([57.5, 500.0, 1500.0, 2500.0]))
    assert heights == pytest.approx([56.0, 135.245, 524.594, 799.443], rel=0.002)
    assert virtual_height(np.array([115.0])) == pytest.approx(112.0, abs=0.2)


def test_a_straight_ray_overhead_and_one_along_the_ground():
    place = by_code("sas")
    middle = np.array([(place.beams - 1) / 2])
    # A target as far as it is high stands overhead.
    glat, glon, _ = gate_positions(place, np.array([300.0]), middle, height_km=300.0)
    assert glat[0, 0] == pytest.approx(place.latitude, abs=1e-4)
    assert glon[0, 0] == pytest.approx(place.longitude, abs=1e-4)
    # At height 0 the slant range is a chord: 2·R·sin(angle/2).
    glat, glon, azimuth = gate_positions(place, np.array([2000.0]), middle, height_km=0.0)
    lat = np.deg2rad([place.latitude, glat[0, 0]])
    lat = np.arctan((1 - 1 / 298.257223563) ** 2 * np.tan(lat))
    step = np.deg2rad(glon[0, 0] - place.longitude)
    angle = np.arccos(np.sin(lat[0]) * np.sin(lat[1]) + np.cos(lat[0]) * np.cos(lat[1]) * np.cos(step))
    assert 2 * 6371.2 * np.sin(angle / 2) == pytest.approx(2000.0, abs=0.01)
    # Clairaut: along a great circle cos(latitude)·sin(azimuth) is constant.
    assert np.cos(lat[1]) * np.sin(np.deg2rad(azimuth[0, 0])) == pytest.approx(
        np.cos(lat[0]) * np.sin(np.deg2rad(place.boresight)), abs=1e-9
    )


def test_the_fan_opens_evenly_and_southern_beams_count_the_other_way():
    place = by_code("pgr")
    _, _, azimuth = gate_positions(place, np.array([1e-3]), np.arange(16), height_km=0.0)
    assert np.diff(azimuth[:, 0]) == pytest.approx(np.full(15, place.beam_separation), abs=1e-3)
    assert azimuth[:, 0].mean() == pytest.approx(place.boresight, abs=1e-3)
    _, _, south = gate_positions(by_code("hal"), np.array([1e-3]), np.arange(16), height_km=0.0)
    assert np.all(apart(south[1:, 0], south[:-1, 0]) < 0)
    # Beams off the boresight bend away from it where the ray rises: the array's cone.
    _, _, steep = gate_positions(place, np.array([500.0]), np.array([0, 15]), height_km=300.0)
    assert apart(steep[1, 0], steep[0, 0]) > 15 * place.beam_separation


def test_gates_of_the_common_mode_are_45_km_long():
    ranges = gate_ranges(by_code("han"))
    assert ranges[0] == 202.5 and np.all(np.diff(ranges) == 45.0) and len(ranges) == 75


def test_magnetic_azimuth_of_the_magnetic_meridian_is_zero():
    # Going to the place with the same longitude and a larger AACGM latitude is going to magnetic north.
    import aacgmv2

    here = aacgmv2.convert_latlon(70.0, 40.0, 300.0, DAY, method_code="A2G")
    there = aacgmv2.convert_latlon(70.05, 40.0, 300.0, DAY, method_code="A2G")
    north = there[0] - here[0]
    east = (there[1] - here[1]) * np.cos(np.deg2rad(here[0]))
    geographic = np.rad2deg(np.arctan2(east, north))
    start = (np.array([each]) for each in (here[0], here[1], geographic))
    mlat, mlon, azimuth = magnetic_azimuth(*start, DAY)
    # AACGM's way back is a fit of its own, some hundredths of a degree off.
    assert (mlat[0], mlon[0]) == (pytest.approx(70.0, abs=0.1), pytest.approx(40.0, abs=0.2))
    assert azimuth[0] == pytest.approx(0.0, abs=2.0)
    assert aacgm(np.array([here[0]]), np.array([here[1]]), DAY)[0][0] == pytest.approx(mlat[0])


@pytest.mark.parametrize("code", ["sas", "inv", "hok", "mcm"])
def test_cells_are_those_of_the_grid_within_the_ranges(code):
    seen = cells(by_code(code), DAY)
    assert 150 < len(seen) < 500
    assert np.all(np.diff(seen.index) > 0)
    mlat, mlon = cell_centre(seen.index)
    assert np.array_equal(cell_index(mlat, mlon), seen.index)
    assert np.all(mlat < 0) if code == "mcm" else np.all(mlat > 0)
    assert np.all((seen.range_km >= 500) & (seen.range_km <= 3000))
    near = cells(by_code(code), DAY, 500.0, 1200.0)
    assert len(near) < len(seen) and np.isin(near.index, seen.index).all()
    with pytest.raises(ValueError, match="read-only"):
        seen.kvect_away[0] = 0.0  # the table is shared


def test_directions_point_away_from_the_radar():
    # Along its kvect a radar's cells recede: the great circle from the radar arrives with that azimuth.
    for place in of_hemisphere("north")[:6]:
        seen = cells(place, DAY)
        home = aacgm(np.array([place.latitude]), np.array([place.longitude]), DAY)
        home_lat, home_lon = (np.deg2rad(each[0]) for each in home)
        lat, lon = np.deg2rad(seen.mlat), np.deg2rad(seen.mlon)
        back = np.arctan2(
            np.sin(home_lon - lon) * np.cos(home_lat),
            np.cos(lat) * np.sin(home_lat) - np.sin(lat) * np.cos(home_lat) * np.cos(home_lon - lon),
        )
        # AACGM is not quite a rotation of the sphere: directions agree to some ten degrees.
        assert np.median(np.abs(apart(seen.kvect_away, np.rad2deg(back) + 180))) < 12, place.code


def test_cells_and_directions_equal_those_of_real_grid_files(real_data: Path):
    netcdf = pytest.importorskip("netCDF4")
    files = sorted((real_data / "superdarn" / "secs_nc_north").glob("*.nc"))
    if not files:
        pytest.skip(f"no real grid files below {real_data}")
    shares, angles = [], []
    for path in files:
        seen = cells(by_code(path.name.split(".")[1]), DAY)
        with netcdf.Dataset(path) as file:
            index = cell_index(file["vector.mlat"][:].filled(), file["vector.mlon"][:].filled())
            kvect = file["vector.kvect"][:].filled()
        known = np.isin(index, seen.index)
        ours = seen.kvect_away[np.searchsorted(seen.index, index[known])]
        turned = apart(kvect[known], ours)
        # The azimuth of the flow is along the beam, either way.
        angles.append(np.median(np.minimum(np.abs(turned), 180 - np.abs(turned))))
        shares.append(known.mean())
    assert np.min(shares) > 0.85 and np.median(shares) > 0.96
    assert np.max(angles) < 8 and np.median(angles) < 3
