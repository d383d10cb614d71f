"""The satellite of a date, the names of its files, and the bands of a scan brought together."""

from __future__ import annotations

import datetime as dt

import pytest

from earthsignals.clouds.goes.buckets import (
    bucket,
    cadence,
    choose_satellite,
    mode_on,
    parse_name,
    prefix,
    satellite_on,
)
from earthsignals.clouds.goes.scans import group_scans, missing_bands, nearest_scan
from earthsignals.clouds.goes.sun import elevation, solar_day, solar_noon
from earthsignals.storage import EarthSignalsError

from .goes_stand_ins import file_name

NAME = "OR_ABI-L1b-RadM1-M6C13_G17_s20193351027275_e20193351027344_c20193351027405.nc"
NOON = dt.datetime(2019, 1, 1, 15, 0, 20, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("date", "position", "satellite"),
    [
        ("2017-12-18", "east", 16), ("2025-04-06", "east", 16), ("2025-04-07", "east", 19),
        ("2019-02-12", "west", 17), ("2023-01-03", "west", 17), ("2023-01-04", "west", 18),
    ],
)  # fmt: skip
def test_positions_changed_hands_on_these_days(date: str, position: str, satellite: int) -> None:
    assert satellite_on(dt.date.fromisoformat(date), position) == satellite
    assert bucket(satellite) == f"noaa-goes{satellite}"


@pytest.mark.parametrize("position", ["east", "west"])
def test_before_the_first_satellite_there_is_none(position: str) -> None:
    with pytest.raises(EarthSignalsError, match=r"on 2016-01-01: GOES-1[67] was the first, from 201[79]"):
        satellite_on(dt.date(2016, 1, 1), position)


@pytest.mark.parametrize(
    ("satellite", "date", "right"),
    [("16", "2025-05-01", "19"), ("19", "2024-01-01", "16"), ("17", "2024-01-01", "18"),
     ("18", "2020-01-01", "17")],
)  # fmt: skip
def test_a_satellite_outside_of_its_years_is_refused_with_the_right_one(
    satellite: str, date: str, right: str
) -> None:
    day = dt.date.fromisoformat(date)
    with pytest.raises(EarthSignalsError, match=f"GOES-{right}, in the bucket noaa-goes{right}"):
        choose_satellite(satellite, day)
    assert choose_satellite(right, day) == int(right)


def test_the_full_disc_was_scanned_every_15_minutes_until_mode_6() -> None:
    before, after = dt.date(2019, 4, 1), dt.date(2019, 4, 2)
    assert (mode_on(before), mode_on(after)) == (3, 6)
    assert cadence("ABI-L1b-RadF", before) == dt.timedelta(minutes=15)
    assert cadence("ABI-L1b-RadF", after) == dt.timedelta(minutes=10)
    assert cadence("ABI-L1b-RadC", before) == cadence("ABI-L1b-RadC", after) == dt.timedelta(minutes=5)


def test_folders_count_days_of_the_year_and_mesoscale_sectors_share_theirs() -> None:
    day = dt.date(2019, 12, 1)
    assert prefix("ABI-L1b-RadF", day, 7) == "ABI-L1b-RadF/2019/335/07/"
    assert prefix("ABI-L1b-RadC", day, 23) == "ABI-L1b-RadC/2019/335/23/"
    assert prefix("ABI-L1b-RadM1", day, 7) == prefix("ABI-L1b-RadM2", day, 7) == "ABI-L1b-RadM/2019/335/07/"


def test_a_name_tells_product_mode_band_satellite_and_times() -> None:
    file = parse_name(NAME)
    assert (file.product, file.mode, file.band, file.satellite) == ("ABI-L1b-RadM1", 6, "C13", 17)
    # Day 335 of a common year is the first of December; the last digit counts tenths of a second.
    assert file.start == dt.datetime(2019, 12, 1, 10, 27, 27, 500_000, tzinfo=dt.UTC)
    assert file.end == dt.datetime(2019, 12, 1, 10, 27, 34, 400_000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "name", ["picture.nc", NAME.replace("L1b", "L2"), NAME + ".1", NAME.replace("s2019335", "s2019399")]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(EarthSignalsError, match="its name are no dates|no name of a GOES-R ABI L1b file"):
        parse_name(name)


def test_bands_of_a_scan_come_together_across_a_second_and_the_latest_file_of_a_band_counts() -> None:
    second = dt.timedelta(seconds=1)
    earlier = file_name("C02", NOON)
    remade = earlier.replace("_c20190011500400", "_c20190011600000")
    names = [
        file_name("C01", NOON + second), remade, earlier, file_name("C03", NOON),
        file_name("C01", NOON + 30 * second), file_name("C01", NOON, product="ABI-L1b-RadM2"),
        file_name("C01", NOON, satellite=17),
    ]  # fmt: skip
    scans = group_scans(names)
    assert [(s.satellite, s.product, sorted(s.files)) for s in scans] == [
        (16, "ABI-L1b-RadM1", ["C01", "C02", "C03"]), (16, "ABI-L1b-RadM1", ["C01"]),
        (16, "ABI-L1b-RadM2", ["C01"]), (17, "ABI-L1b-RadM1", ["C01"]),
    ]  # fmt: skip
    assert scans[0].files["C02"] == remade
    assert scans[0].name == "G16_RadM1_20190101T150020Z"
    assert scans == group_scans(reversed(names))
    assert missing_bands(scans[1], ("C03", "C01", "C02")) == ["C02", "C03"]


def test_the_nearest_scan_of_the_product_within_reach_is_taken() -> None:
    minutes = [dt.timedelta(minutes=m) for m in (0, 10, 20)]
    scans = group_scans(file_name("C01", NOON + m, product="ABI-L1b-RadF") for m in minutes)
    reach = dt.timedelta(minutes=10)
    asked = NOON + dt.timedelta(minutes=14)
    assert nearest_scan(scans, "ABI-L1b-RadF", asked, reach).start == NOON + minutes[1]
    assert nearest_scan(scans, "ABI-L1b-RadC", asked, reach) is None
    assert nearest_scan(scans, "ABI-L1b-RadF", NOON + dt.timedelta(minutes=31), reach) is None


@pytest.mark.parametrize(
    ("day", "minutes"), [("2019-02-11", 14.2), ("2019-11-03", -16.4), ("2019-04-15", 0), ("2019-06-13", 0)]
)
def test_noon_follows_the_equation_of_time(day: str, minutes: float) -> None:
    # The extremes of the equation of time and two of its four zeros, as in the Astronomical Almanac.
    date = dt.date.fromisoformat(day)
    midday = dt.datetime.combine(date, dt.time(12), dt.UTC)
    assert (solar_noon(date, 0.0) - midday).total_seconds() / 60 == pytest.approx(minutes, abs=0.4)
    # 45 degrees west it comes three hours later, east three hours earlier.
    for longitude in (-45.0, 45.0):
        shift = solar_noon(date, longitude) - solar_noon(date, 0.0)
        assert shift.total_seconds() == pytest.approx(-longitude * 240, abs=5)


def test_the_sun_culminates_at_noon_and_stands_at_the_zenith_at_an_equinox() -> None:
    noon = solar_noon(dt.date(2019, 3, 20), -45.0)
    assert elevation(noon, 0.0, -45.0) == pytest.approx(90, abs=0.4)
    little = dt.timedelta(minutes=10)
    for latitude in (-30.0, 20.0):
        at_noon = elevation(noon, latitude, -45.0)
        assert at_noon == pytest.approx(90 - abs(latitude), abs=0.4)
        assert at_noon > max(elevation(time, latitude, -45.0) for time in (noon + little, noon - little))
    assert elevation(noon + dt.timedelta(hours=12), 0.0, -45.0) == pytest.approx(-90, abs=0.4)


def test_scenes_of_one_local_day_share_it_across_midnight_utc() -> None:
    day = dt.date(2020, 6, 1)
    noon = solar_noon(day, -170.0)
    evening = noon + dt.timedelta(hours=3)
    assert noon.date() != evening.date()
    assert solar_day(noon, -170.0) == solar_day(evening, -170.0) == day
