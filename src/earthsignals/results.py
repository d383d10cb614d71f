"""What an evaluation leaves for figures and people: named arrays in HDF5, rows in CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    import numpy as np

_LARGE = 100_000  # values from which compression pays


class MissingData(EarthSignalsError):
    """A figure cannot be drawn: what it shows was not there to be judged."""


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to HDF5, atomically; a name with slashes ("rates/true_kg_h") makes groups."""
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver="v110") as file:
        for name, values in arrays.items():
            options = {"compression": "gzip", "shuffle": True} if values.size > _LARGE else {}
            file.create_dataset(name, data=values, track_times=False, **options)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an `evaluation.h5` by their full name ("rates/true_kg_h").

    Raises EarthSignalsError where the file is missing or no HDF5.
    """
    import h5py

    path = Path(path)
    stage = f"dvc repro {path.parent.name}-evaluate"
    if not path.is_file():
        raise EarthSignalsError(f"{path}: no such evaluation; run `{stage}`")
    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)
    except OSError as error:
        reason = str(error).splitlines()[0][:90]
        raise EarthSignalsError(
            f"{path} cannot be read as HDF5 ({reason}); delete it and run `{stage}` again"
        ) from None
    return arrays


def take(arrays: Mapping[str, np.ndarray], *names: str, needs: str) -> list[np.ndarray]:
    """The arrays of these names, in order. Raises MissingData naming those absent and what they need."""
    absent = [name for name in names if name not in arrays]
    if absent:
        raise MissingData(f"the evaluation holds no {', '.join(absent)}; {needs}")
    return [arrays[name] for name in names]


def write_rows(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with these columns, atomically, numbers to six digits."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
