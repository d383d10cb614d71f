"""What figures are drawn from: named arrays of the evaluation, and a word where some are absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from earthsignals.storage import EarthSignalsError

Arrays = Mapping[str, np.ndarray]


class MissingData(EarthSignalsError):
    """A figure cannot be drawn: what it shows was not computed for these scans."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `evaluation.h5` by their full name ("test/truth_ppm").

    Raises EarthSignalsError where the file is missing or no HDF5.
    """
    path = Path(path)
    if not path.is_file():
        raise EarthSignalsError(f"{path}: no such evaluation; run `dvc repro tdlas-evaluate`.")
    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)
    except OSError as error:
        raise EarthSignalsError(
            f"{path} cannot be read as HDF5 ({str(error).splitlines()[0][:90]}); delete it and run "
            "`dvc repro tdlas-evaluate` again."
        ) from None
    return arrays


def take(arrays: Arrays, *names: str) -> list[np.ndarray]:
    """The arrays of these names, in order. Raises MissingData naming those that are absent."""
    absent = [name for name in names if name not in arrays]
    if absent:
        raise MissingData(
            f"the evaluation holds no {', '.join(absent)}; only simulated scans can be stressed and "
            "repeated (tdlas.dataset.source: simulated)"
        )
    return [arrays[name] for name in names]
