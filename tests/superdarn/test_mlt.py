"""Magnetic local time against AACGM-v2 itself."""

from __future__ import annotations

import datetime as dt

import aacgmv2
import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.mlt import _at_node, mlt, mlt_of_zero


def _direct(mlon: float, times: np.ndarray) -> np.ndarray:
    moments = [dt.datetime(1970, 1, 1) + dt.timedelta(seconds=int(second)) for second in times]
    return np.array([float(aacgmv2.convert_mlt([mlon], moment)[0]) for moment in moments])


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs((one - other + 12) % 24 - 12).max())


@pytest.mark.parametrize("day", ["2015-03-01", "2014-12-31T12:00", "2016-02-29", "2022-06-21"])
def test_within_1e_4_hours_of_aacgm(day: str) -> None:
    """Across midnight and new year too, and where the curve wraps from 24 to 0."""
    first = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp()
    times = first + np.arange(0, 86400, 97.0).round()
    found = mlt_of_zero(times)
    assert np.all((found >= 0) & (found < 24)) and found.dtype == np.float64
    assert _apart(found, _direct(0.0, times)) < 1e-4


def test_an_hour_each_15_degrees() -> None:
    times = 1_425_168_000.0 + np.arange(0, 86400, 7200.0)
    zero = mlt_of_zero(times)
    for mlon in (10.0, 123.4, 359.9):
        assert _apart(mlt(mlon, zero), _direct(mlon, times)) < 1e-4


def test_shapes_and_range() -> None:
    assert mlt_of_zero(np.zeros((0,))).shape == (0,) and mlt_of_zero(1.4e9).shape == ()
    assert mlt(np.array([[0.0], [350.0]]), np.array([23.9, 0.1, 5.0])).shape == (2, 3)
    assert mlt(-1e-20, 0.0) == 0.0 and mlt(720.0, 1.5) == 1.5


def test_a_day_of_frames_advances_by_a_day() -> None:
    """The Earth turns once: 24 hours of local time in 24 hours, to the eccentricity of its poles."""
    zero = mlt_of_zero(1_425_168_000.0 + 120.0 * np.arange(721))
    steps = (np.diff(zero) + 12) % 24 - 12
    assert steps.min() > 0 and abs(steps.sum() - 24) < 0.01


def test_times_that_are_none_are_refused() -> None:
    with pytest.raises(EarthSignalsError, match="not finite"):
        mlt_of_zero([0.0, np.nan])


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    """AACGM-v2 keeps its last answer; days are made in any order by any number of workers."""
    times = 1_425_168_000.0 + np.array([7200.0, 7320.0, 7440.0])
    alone = mlt_of_zero(times)
    for other in (times[0] - 500.0, times[0] + 300 * 86400.0):
        _at_node.cache_clear()
        aacgmv2.convert_latlon_arr([70.0], [20.0], 300.0, dt.datetime(2001, 1, 1), method_code="G2A")
        mlt_of_zero(np.array([other]))
        np.testing.assert_array_equal(mlt_of_zero(times), alone)
