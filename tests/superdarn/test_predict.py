"""Forecasts from files: what is written, what little history does, and that no file of the user is lost."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.superdarn.checkpoint import ForecastModel
from earthsignals.superdarn.forecast_file import is_forecast
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.predict import chosen_leads, forecast_files, grid_at, read_files
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.forecast_stand_ins import START_S, small_file, small_model, small_vectors

PARAMS = SuperdarnParams()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ForecastModel:
    """Damped persistence by hand: the last frame's drift times 0.5, at every lead."""
    made = small_model(tmp_path_factory.mktemp("model"))
    made.forecaster.start.damping.fill_(0.5)
    made.forecaster.gain.zero_()
    return made


@pytest.fixture(scope="module")
def written(model: ForecastModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("forecast")
    out = folder / "forecast.nc"
    return out, forecast_files(small_file(folder), model, out, lead=12)


def test_the_forecast_is_the_models_and_says_where_and_when(written: tuple[Path, str]) -> None:
    out, sentence = written
    with xr.open_dataset(out) as found:
        assert found.sizes == {"lead": 6, "mlat": 10, "mlon": 60}
        assert found.lead.values.tolist() == [2, 4, 6, 8, 10, 12]
        # Issued at the middle of the frame of 00:28, and valid so many minutes later.
        issued = np.datetime64("2015-03-01T00:29:00")
        assert found.forecast_reference_time.values.astype("M8[s]") == issued
        ahead = (found.valid_time.values - issued.astype("M8[ns]")) / np.timedelta64(1, "m")
        np.testing.assert_allclose(ahead, found.lead)
        # Vectors lie along an eastward drift of 400 m/s; half of it is forecast where cells were seen.
        seen = found.observed.values.astype(bool)
        east = found.drift_east.values[:, seen]
        assert seen.sum() > 5 and np.median(east) == pytest.approx(200, rel=0.05)
        assert np.all(found.drift_north.values[:, ~seen] == 0)
        np.testing.assert_allclose(found.speed, np.hypot(found.drift_north, found.drift_east), rtol=1e-6)
        # 40 vectors of each of two radars in each of the 10 frames of history.
        assert int(found.vectors_in_history.sum()) == 800 == int(found.attrs["vectors_in_all"])
    assert "800 vectors of 2 radars" in sentence and "00:29:00Z" in sentence


def test_the_file_keeps_to_cf(written: tuple[Path, str]) -> None:
    with xr.open_dataset(written[0], decode_times=False) as found:
        assert found.attrs["Conventions"] == "CF-1.11"
        assert (
            found.lead.attrs["standard_name"] == "forecast_period" and found.lead.attrs["units"] == "minutes"
        )
        assert found.forecast_reference_time.attrs["standard_name"] == "forecast_reference_time"
        assert found.valid_time.attrs["standard_name"] == "time"
        for name in ("drift_north", "drift_east", "speed"):
            assert found[name].attrs["units"] == "m s-1" and found[name].dims == ("lead", "mlat", "mlon")
            assert {"mlt", "valid_time", "mlat", "mlon", "lead"} <= set(found[name].coords)
        for variable in found.variables.values():
            assert "long_name" in variable.attrs and (
                "units" in variable.attrs or "flag_values" in variable.attrs
            )
        # Dimension coordinates must be monotonic.
        assert np.all(np.diff(found.mlon) > 0) and np.all(np.diff(found.mlat) > 0)


def test_local_time_is_that_of_aacgm_at_each_lead(written: tuple[Path, str]) -> None:
    import aacgmv2

    with xr.open_dataset(written[0]) as found:
        for lead in (0, 5):
            when = found.valid_time.values[lead].astype("M8[us]").item()
            expected = aacgmv2.convert_mlt(found.mlon.values, when)
            off = (found.mlt.values[lead] - expected + 12) % 24 - 12
            assert np.abs(off).max() < 1e-3


def test_the_same_files_give_the_same_bytes(
    written: tuple[Path, str], model: ForecastModel, tmp_path: Path
) -> None:
    source = written[0].parent / "20150301.north.grid.bz2"
    forecast_files([source, source], model, tmp_path / "forecast.nc", lead=12)  # named twice, read once
    for suffix in (".nc", ".png"):
        assert md5_file(tmp_path / f"forecast{suffix}") == md5_file(written[0].with_suffix(suffix)), suffix


def test_one_radar_a_few_minutes_and_a_gap_of_hours_work_and_are_told(
    model: ForecastModel, tmp_path: Path
) -> None:
    alone = small_file(tmp_path / "alone", minutes=4, stids=(33,))
    sentence = forecast_files(alone, model, tmp_path / "alone.nc", lead=4)
    assert "1 radar, 8 of 10 frames of history without any" in sentence
    # Three hours without any record, then two frames: what is older than the history is not known.
    parts = [small_vectors(20), small_vectors(4, from_minute=200)]
    write_grid(tmp_path / "gap.grid", Vectors.concatenate(parts))
    sentence = forecast_files(tmp_path / "gap.grid", model, tmp_path / "gap.nc", lead=4)
    assert "160 vectors of 2 radars, 8 of 10 frames" in sentence and "03:23:00Z" in sentence
    with xr.open_dataset(tmp_path / "gap.nc") as found:
        assert np.isfinite(found.speed).all() and float(found.speed.max()) > 100
    # Days apart: nothing of the first is history of the second.
    days = [small_vectors(20), small_vectors(4, from_minute=5 * 1440)]
    write_grid(tmp_path / "days.grid", Vectors.concatenate(days))
    assert "160 vectors" in forecast_files(tmp_path / "days.grid", model, tmp_path / "days.nc", lead=4)


def test_nothing_later_than_the_issue_is_known(model: ForecastModel, tmp_path: Path) -> None:
    # The same times of issue with and without the records that follow: equal forecasts.
    whole = small_file(tmp_path / "whole", minutes=60)
    short = small_file(tmp_path / "short", minutes=30)
    when = dt.datetime(2015, 3, 1, 0, 29)
    forecast_files(whole, model, tmp_path / "whole.nc", lead=4, at=when)
    forecast_files(short, model, tmp_path / "short.nc", lead=4)
    with xr.open_dataset(tmp_path / "whole.nc") as one, xr.open_dataset(tmp_path / "short.nc") as other:
        np.testing.assert_array_equal(one.drift_east, other.drift_east)
        assert one.forecast_reference_time == other.forecast_reference_time


def test_a_straggling_window_is_no_time_of_issue(model: ForecastModel) -> None:
    # One vector follows two minutes after the others: of 80 a frame that is no frame to issue from.
    late = small_vectors(2, stids=(33,), count=1, from_minute=30)
    grid, issue = grid_at(Vectors.concatenate([small_vectors(30), late]), model, None)
    assert grid.times_s[issue] == START_S + 28 * 60 and len(grid) == 16


def test_a_time_outside_the_records_is_refused(model: ForecastModel, tmp_path: Path) -> None:
    for hour in (dt.datetime(2015, 2, 28), dt.datetime(2015, 3, 2, tzinfo=dt.UTC)):
        with pytest.raises(
            EarthSignalsError, match=r"--at 2015.*reach from 2015-03-01T00:00:00Z to 2015-03-01T00:30"
        ):
            forecast_files(small_file(tmp_path), model, tmp_path / "x.nc", lead=4, at=hour)


def test_leads_are_the_models(model: ForecastModel) -> None:
    assert chosen_leads(model, 6).tolist() == [2, 4, 6]
    for lead in (7, 14):
        with pytest.raises(EarthSignalsError, match=f"--lead {lead}: .* every 2 minutes up to 12"):
            chosen_leads(model, lead)


def test_damaged_files_are_counted_and_stop_nothing(model: ForecastModel, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    whole = small_file(folder)
    (folder / "cut.grid.bz2").write_bytes(whole.read_bytes()[:200])
    (folder / "empty.grid").write_bytes(b"")
    (folder / "letter.txt").write_text("no records here")
    sentence = forecast_files(folder, model, tmp_path / "out.nc", lead=4)
    assert "3 of 4 files refused, first: " in sentence and "800 vectors" in sentence
    assert len(list(folder.iterdir())) == 4  # nothing was deleted
    whole.unlink()
    with pytest.raises(EarthSignalsError, match=r"no file could be used: .*cut\.grid\.bz2.*\(and 2 more\)"):
        forecast_files(folder, model, tmp_path / "out.nc", lead=4)
    with pytest.raises(EarthSignalsError, match="absent"):
        read_files(tmp_path / "absent", PARAMS)


def test_no_file_of_the_users_is_replaced(model: ForecastModel, tmp_path: Path) -> None:
    source = small_file(tmp_path, "records.nc")  # a grid file, whatever its name
    before = md5_file(source)
    with pytest.raises(EarthSignalsError, match="is one of the inputs"):
        forecast_files(source, model, source, lead=4)
    (tmp_path / "notes.nc").write_text("mine")
    with pytest.raises(EarthSignalsError, match=r"notes\.nc is there already and no forecast"):
        forecast_files(source, model, tmp_path / "notes.nc", lead=4)
    with pytest.raises(EarthSignalsError, match=r"ends in \.nc"):
        forecast_files(source, model, tmp_path / "x.png", lead=4)
    assert md5_file(source) == before and (tmp_path / "notes.nc").read_text() == "mine"
    # A forecast of before is replaced.
    for _ in range(2):
        forecast_files(source, model, tmp_path / "ours.nc", lead=4)
    assert is_forecast(tmp_path / "ours.nc")


def test_a_forecast_that_is_no_number_is_refused(tmp_path: Path) -> None:
    broken = small_model(tmp_path)
    broken.forecaster.start.damping.fill_(float("nan"))
    with pytest.raises(EarthSignalsError, match="forecast is not finite"):
        forecast_files(small_file(tmp_path), broken, tmp_path / "x.nc", lead=4)
    assert not (tmp_path / "x.nc").exists()


def test_other_representations_carry_places_of_two_dimensions(tmp_path: Path) -> None:
    square = small_model(tmp_path, representation="square", size=18)
    source = small_file(tmp_path)
    forecast_files(source, square, tmp_path / "square.nc", lead=4)
    with xr.open_dataset(tmp_path / "square.nc") as found:
        assert found.drift_east.dims == ("lead", "row", "column") and found.mlat.dims == ("row", "column")
        assert {"mlat", "mlon", "mlt"} <= set(found.drift_east.coords) and found.mlt.dims[0] == "lead"


def test_radars_of_the_other_hemisphere_are_no_records(model: ForecastModel, tmp_path: Path) -> None:
    north = small_vectors(4)
    columns = {name: getattr(north, name) for name in vars(north)} | {"mlat": -north.mlat}
    write_grid(tmp_path / "south.grid", Vectors(**columns))
    with pytest.raises(EarthSignalsError, match="no vector of the north"):
        forecast_files(tmp_path / "south.grid", model, tmp_path / "x.nc", lead=4)
