"""Layouts: where positions fall, that centres lie in their own cells, and how the raster turns."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import cell_centre, cell_index, cells_above
from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.mlt import mlt
from earthsignals.superdarn.params import GridParams

KINDS = {
    "polar": {"columns": 180},
    "equal-area": {"columns": 240},
    "square": {"size": 75},
    "flat": {},
}


def layout(kind: str, **changes):
    return layout_of(GridParams(**{"representation": kind, **KINDS[kind], **changes}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hemisphere", ["north", "south"])
def test_the_centre_of_each_raster_cell_lies_in_it(kind, hemisphere):
    raster = layout(kind, hemisphere=hemisphere)
    mlat, mlon = raster.centres()
    assert mlat.shape == mlon.shape == raster.shape and mlat.dtype == mlon.dtype == np.float64
    # A square's outermost cells may have their centres beyond the circle, though part of them is inside.
    inside = np.isfinite(mlat) & (np.abs(mlat) >= 50)
    row, column = raster.place(mlat, mlon)
    expected = np.indices(raster.shape)
    assert np.array_equal(row[inside], expected[0][inside])
    assert np.array_equal(column[inside], expected[1][inside])
    assert np.all(np.sign(mlat[inside]) == (1 if hemisphere == "north" else -1))
    assert np.nanmin(mlon) >= 0 and np.nanmax(mlon) < 360


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_of_grid_files_has_a_place_whose_centre_is_near(kind):
    raster = layout(kind)
    mlat, mlon = cell_centre(cells_above(50))
    row, column = raster.place(mlat, mlon)
    assert row.min() >= 0 and row.max() < raster.shape[0]
    assert column.min() >= 0 and column.max() < raster.shape[1]
    at_lat, at_lon = (axis[row, column] for axis in raster.centres())
    east = ((at_lon - mlon + 180) % 360 - 180) * np.cos(np.radians(mlat))
    # No further than half a raster cell's diagonal: 1° × 2° polar, 80°/75 squares, else the cell itself.
    bound = {"polar": 1.0, "square": 80 / 75 / np.sqrt(2)}.get(kind, 1e-9)
    # Meridians converge within a cell near the pole, where a difference of longitudes is no distance.
    away = np.hypot(at_lat - mlat, east)[mlat < 85]
    assert away.max() <= bound + 0.02 * (kind in ("polar", "square"))


@pytest.mark.parametrize("kind", ["equal-area", "flat"])
def test_cells_of_grid_files_do_not_share_a_place(kind):
    raster = layout(kind)
    row, column = raster.place(*cell_centre(cells_above(50)))
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == 4825


@pytest.mark.parametrize("hemisphere", ["north", "south"])
def test_flat_is_in_the_order_of_the_index(hemisphere):
    raster = layout("flat", hemisphere=hemisphere)
    cells = cells_above(50, hemisphere)
    assert raster.shape == (1, 4825)
    _, column = raster.place(*cell_centre(cells))
    assert np.array_equal(column, np.arange(4825))
    assert np.array_equal(cell_index(*raster.centres())[0], cells)


def test_equal_area_places_cells_by_their_middle():
    """The band at 60° has 177 cells on 240 columns: cell j is at floor((j + 1/2)·240/177)."""
    raster = layout("equal-area")
    index = 60_000 + np.arange(177)
    row, column = raster.place(*cell_centre(index))
    assert np.all(row == 10)
    assert column.tolist() == [int((2 * j + 1) * 240 / (2 * 177)) for j in range(177)]


def test_equal_area_keeps_a_cell_together_where_polar_cuts_it():
    """The last band has three cells of 120°: one column each, where polar spreads them over 80."""
    mlon = np.arange(0.0, 360.0, 5.0)
    assert len(set(layout("equal-area").place(89.5, mlon)[1].tolist())) == 3
    assert len(set(layout("polar", columns=240).place(89.5, mlon)[1].tolist())) == 72
    assert np.isfinite(layout("equal-area").centres()[0]).sum() == 4825


def test_equal_area_needs_a_column_for_each_cell():
    with pytest.raises(EarthSignalsError, match="columns is 180, but the band at 50° has 229 cells"):
        layout("equal-area", columns=180)
    assert layout("equal-area", columns=229).shape == (40, 229)


def test_polar_edges():
    """A cell holds its lower edges and not its upper ones; the pole is in the last row."""
    raster = layout("polar")
    mlat = [50.0, 50.999, 51.0, 89.99, 90.0]
    assert raster.shape == (40, 180)
    assert raster.place(mlat, 0.0)[0].tolist() == [0, 0, 1, 39, 39]
    assert raster.place(60.0, [0.0, 1.999, 2.0, 359.999, 360.0, -0.5, -1e-20])[1].tolist() == [
        0, 0, 1, 179, 0, 179, 179,
    ]  # fmt: skip


def test_a_step_that_does_not_divide_leaves_a_narrow_row_at_the_pole():
    raster = layout("polar", latitude_min=50.5, latitude_step=3.0)
    assert raster.shape[0] == 14  # 39.5 / 3 = 13.17
    assert raster.centres()[0][-1, 0] == pytest.approx((89.5 + 90) / 2)
    assert layout("polar", latitude_step=0.1).shape[0] == 400


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_raster_does_not_reach_has_no_place(kind):
    raster = layout(kind)
    mlat = [49.999, -70.0, np.nan, 70.0, 70.0, np.inf]
    mlon = [10.0, 10.0, 10.0, np.nan, np.inf, 10.0]
    row, column = raster.place(mlat, mlon)
    assert row.tolist() == column.tolist() == [-1] * 6
    assert layout(kind, hemisphere="south").place(70.0, 10.0)[0] == -1
    assert layout(kind, hemisphere="south").place(-70.0, 10.0)[0] >= 0


@pytest.mark.parametrize("kind", ["equal-area", "flat"])
def test_bands_of_grid_files_are_taken_whole(kind):
    """Poleward of 50.5° the first whole band begins at 51°, as in `cells_above`."""
    raster = layout(kind, latitude_min=50.5)
    assert raster.place(50.9, 0.0)[0] == -1 and raster.place(51.0, 0.0)[0] == 0
    if kind == "flat":
        assert raster.shape[1] == len(cells_above(50.5))


def test_square_is_equidistant_from_the_pole():
    """On 81 cells over ±40° the pole is in the middle one, and 27° from it are 27/80·81 = 27.3 cells."""
    raster = layout("square", size=81)
    assert raster.place(90.0, 123.0) == (40, 40)
    for mlon, step in {0.0: (1, 0), 90.0: (0, 1), 180.0: (-1, 0), 270.0: (0, -1)}.items():
        row, column = raster.place(63.0, mlon)
        assert (int(row) - 40, int(column) - 40) == (27 * step[0], 27 * step[1])
    mlat, _ = raster.centres()
    assert np.isnan(mlat[0, 0]) and not np.isnan(mlat[40, 0])


def test_every_placed_position_has_a_centre():
    """Even at the rim of the square, where cells are cut by the outer circle."""
    raster, random = layout("square", size=30), np.random.default_rng(0)
    row, column = raster.place(50 + random.random(20_000) ** 3, 360 * random.random(20_000))
    assert np.isfinite(raster.centres()[0][row, column]).all()


@pytest.mark.parametrize("kind", ["polar", "equal-area"])
def test_rolled_columns_begin_at_magnetic_midnight(kind):
    raster, (_, columns) = layout(kind), layout(kind).shape
    for mlt_zero in (0.0, 0.01, 3.21, 11.999, 12.0, 23.96, 23.9999):
        roll = raster.roll_of(mlt_zero)
        west_edges = np.roll(360.0 / columns * np.arange(columns), roll)
        local = mlt(west_edges, mlt_zero)
        off = (local - 24.0 / columns * np.arange(columns) + 12) % 24 - 12
        assert np.abs(off).max() <= 12.0 / columns + 1e-9  # half a column
    assert raster.roll_of(23.9999) == raster.roll_of(0.0) == 0
    assert raster.roll_of(np.array([0.0, 6.0])).tolist() == [0, columns // 4]
    assert raster.cyclic and raster.columns_per_hour == columns / 24


@pytest.mark.parametrize("kind", ["square", "flat"])
def test_layouts_without_cyclic_columns_do_not_turn(kind):
    raster = layout(kind)
    assert not raster.cyclic and raster.columns_per_hour == 0
    assert raster.roll_of(7.3) == 0 and raster.roll_of(np.array([1.0, 2.0])).tolist() == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_are_values(kind):
    raster = layout(kind)
    raster.centres()
    again = pickle.loads(pickle.dumps(raster))
    assert again == raster == layout(kind) and hash(again) == hash(raster)


def test_every_parameter_of_the_raster_changes_it():
    base = layout("polar")
    changes = {"latitude_min": 55.0, "latitude_step": 2.0, "columns": 90, "hemisphere": "south"}
    assert all(layout("polar", **{key: value}) != base for key, value in changes.items())
    assert layout("square", size=80) != layout("square")
