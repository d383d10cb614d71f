"""Arrays and rows come back as they were written; what is absent or broken is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earthsignals.results import MissingData, read_arrays, save_arrays, take, write_rows
from earthsignals.storage import EarthSignalsError


def test_arrays_come_back_under_their_names(tmp_path: Path) -> None:
    large = np.tile(np.arange(400.0), 400)  # enough to be compressed
    arrays = {"rates/true_kg_h": np.arange(3.0), "flag": np.array(True), "map": large.reshape(400, 400)}
    save_arrays(tmp_path / "evaluation.h5", arrays)
    found = read_arrays(tmp_path / "evaluation.h5")
    assert set(found) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
    assert (tmp_path / "evaluation.h5").stat().st_size < large.nbytes / 10


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    arrays = {"a/b": np.arange(5), "c": np.zeros((600, 600))}
    for name in ("one.h5", "two.h5"):
        save_arrays(tmp_path / name, arrays)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_broken_evaluation_is_one_sentence_that_names_its_stage(tmp_path: Path) -> None:
    path = tmp_path / "plume" / "evaluation.h5"
    with pytest.raises(EarthSignalsError, match="no such evaluation; run `dvc repro plume-evaluate`"):
        read_arrays(path)
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"0" * 100)
    with pytest.raises(EarthSignalsError, match="cannot be read as HDF5"):
        read_arrays(path)


def test_take_names_what_is_absent_and_what_it_needs() -> None:
    arrays = {"a": np.zeros(1), "b": np.ones(2)}
    first, second = take(arrays, "b", "a", needs="")
    assert len(first) == 2 and len(second) == 1
    with pytest.raises(MissingData, match="holds no c, d; it needs flightlines"):
        take(arrays, "a", "c", "d", needs="it needs flightlines")


def test_rows_are_written_to_six_digits(tmp_path: Path) -> None:
    rows = [{"method": "ridge", "ratio": 1.23456789}, {"method": "PLS", "ratio": 2}]
    write_rows(tmp_path / "rows.csv", rows, ("method", "ratio"))
    assert (tmp_path / "rows.csv").read_text().split() == ["method,ratio", "ridge,1.23457", "PLS,2"]
