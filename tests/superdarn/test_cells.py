"""Cells of grid files: their counts, indices and places, against real files and the sphere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import band_cells, cell_centre, cell_index, cells_above
from earthsignals.superdarn.records.dmap import read_dmap_records


def test_bands_have_as_many_cells_as_fit_at_their_middle() -> None:
    assert band_cells(65) == round(360 * np.cos(np.radians(65.5))) == 149
    assert band_cells([89, -89, 0]).tolist() == [3, 3, 360]


def test_poleward_of_50_there_are_4825_cells_of_nearly_one_area() -> None:
    index = cells_above(50)
    assert len(index) == 4825 and len(np.unique(index)) == 4825
    mlat, _ = cell_centre(index)
    band = np.floor(mlat)
    ring = np.sin(np.radians(band + 1)) - np.sin(np.radians(band))
    area = ring / band_cells(band)
    away_from_pole = mlat < 80
    assert np.ptp(area[away_from_pole]) / area.mean() < 0.05  # rounding to whole cells, no more
    assert cells_above(50.5)[0] == cells_above(51)[0] == 51000  # bands that lie wholly poleward


def test_centres_lie_in_their_cells_in_both_hemispheres() -> None:
    for hemisphere, sign in (("north", 1), ("south", -1)):
        index = cells_above(50, hemisphere)
        mlat, mlon = cell_centre(index)
        assert np.all(np.sign(mlat) == sign) and np.all((mlon >= 0) & (mlon < 360))
        np.testing.assert_array_equal(cell_index(mlat, mlon), index)
        # float32, as files hold places, and whole turns change nothing.
        np.testing.assert_array_equal(cell_index(mlat.astype("f4"), mlon.astype("f4") - 360), index)


def test_cells_reach_from_edge_to_edge() -> None:
    width = 360 / 149
    assert cell_index(65.0, 0.0) == cell_index(65.999, width - 1e-9) == 65000
    assert cell_index(65.5, width + 1e-9) == 65001
    assert cell_index(65.5, 360 - 1e-9) == 65148 and cell_index(65.5, 360.0) == 65000
    assert cell_index(90.0, 0.0) == 89000 and cell_index(-90.0, 359.0) == -89002


@pytest.mark.parametrize("mlat, mlon", [(np.nan, 0.0), (90.1, 0.0), (70.0, np.inf)])
def test_places_that_are_none_are_refused(mlat: float, mlon: float) -> None:
    with pytest.raises(EarthSignalsError, match="have no cell"):
        cell_index(mlat, mlon)


def test_an_index_that_no_cell_has_is_refused() -> None:
    with pytest.raises(EarthSignalsError, match="no cell has the index 89003"):
        cell_centre([65000, 89003])
    with pytest.raises(EarthSignalsError, match="90000"):
        cell_centre(90000)


@pytest.mark.parametrize(
    "file, kind, offset",
    [
        ("dmap_tests/test.grid", "grid", 0), ("pydarn_tests/test.grd", "grid", 0),
        ("pydarn_tests/test.north.mp", "map", 0), ("dmap_tests/test.map", "map", 50_000),
    ],
)  # fmt: skip
def test_equal_to_the_indices_of_real_files(real_data: Path, file: str, kind: str, offset: int) -> None:
    """The oldest of them counts bands from 50°, which is why readers compute the index."""
    for record in read_dmap_records(real_data / "superdarn" / file, kind).records:
        computed = cell_index(record["vector.mlat"], record["vector.mlon"])
        np.testing.assert_array_equal(computed - offset, record["vector.index"])
