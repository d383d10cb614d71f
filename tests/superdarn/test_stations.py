"""The table of radars, against itself and against what real files say of their radars."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.stations import STATIONS, by_code, of_hemisphere, station


def test_every_radar_is_found_by_its_number_and_by_its_code():
    assert len({each.stid for each in STATIONS}) == len({each.code for each in STATIONS}) == len(STATIONS)
    for each in STATIONS:
        assert station(each.stid) is each
        assert by_code(each.code.upper()) is each


def test_the_first_22_northern_radars_are_those_of_2015():
    # Simulated days begin on 2015-03-01: nobody looks through a radar that was not yet built.
    assert all(each.since <= 2015 for each in of_hemisphere("north")[:22])
    assert {"sas", "kod", "han", "rkn"} <= {each.code for each in of_hemisphere("north")[:22]}


def test_radars_look_polewards_within_reason():
    for each in STATIONS:
        assert 30 < abs(each.latitude) <= 90 and -180 <= each.longitude <= 180
        assert each.hemisphere == ("north" if each.latitude > 0 else "south")
        assert 16 <= each.beams <= 24 and 3 < abs(each.beam_separation) < 4 and each.gates >= 75
        assert -180 <= each.boresight <= 360


def test_an_unknown_radar_is_named_with_the_remedy():
    with pytest.raises(EarthSignalsError, match=r"station 777: no SuperDARN radar .* hdw\.dat"):
        station(777)
    with pytest.raises(EarthSignalsError, match=r"radar `xyz`: no SuperDARN radar .* hdw\.dat"):
        by_code("xyz")


def test_positions_equal_those_in_real_grid_files(real_data: Path):
    netcdf = pytest.importorskip("netCDF4")
    files = sorted((real_data / "superdarn" / "secs_nc_north").glob("*.nc"))
    if not files:
        pytest.skip(f"no real grid files below {real_data}")
    for path in files:
        place = by_code(path.name.split(".")[1])
        with netcdf.Dataset(path) as file:
            # Hardware files are corrected by some hundred metres, and Wallops by 8 km, in later years.
            assert place.latitude == pytest.approx(file.lat, abs=0.08), path.name
            assert place.longitude == pytest.approx(file.lon, abs=0.05), path.name
            assert place.boresight == file.boresight, path.name
