"""What figures are drawn from: the evaluation's arrays by name, and how each method looks in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from earthsignals import results
from earthsignals.figures import COLOURS

Arrays = Mapping[str, np.ndarray]
COMPONENTS = ("E", "N", "Z")

take = partial(results.take, needs="`dvc repro seismic-evaluate` writes it where the records allow")


@dataclass(frozen=True)
class Look:
    """Colour, marker and name of a method."""

    label: str
    colour: str
    marker: str = "o"
    line: str = "-"


LOOKS = {
    "model": Look("bottleneck", COLOURS["blue"], "o"),
    "pca": Look("PCA", COLOURS["vermillion"], "s"),
    "patch_pca": Look("patch PCA", COLOURS["orange"], "^"),
    "seed": Look("plain autoencoder", COLOURS["purple"], "D"),
    "means": Look("means per row + column", COLOURS["green"], "v"),
    "mean": Look("mean spectrogram", COLOURS["green"], "", "--"),
    "zero": Look("zero", "0.55", "", "--"),
    "floor": Look("speckle floor", COLOURS["black"], "", ":"),
}


def text(values: np.ndarray) -> list[str]:
    """HDF5's bytes as text."""
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(values).ravel()]


def position(arrays: Arrays, group: str) -> np.ndarray | None:
    """Where the rows of `examples` or `worst` stand among `records/…`: (E,) int64; None if not told."""
    if f"{group}/index" in arrays:
        return np.asarray(arrays[f"{group}/index"], np.int64)
    if f"{group}/row" not in arrays or "records/row" not in arrays:
        return None
    place = {int(row): i for i, row in enumerate(arrays["records/row"])}
    found = [place.get(int(row), -1) for row in arrays[f"{group}/row"]]
    return np.array(found, np.int64) if min(found, default=-1) >= 0 else None


def range_db(arrays: Arrays) -> float | None:
    """Decibels from 0 to 1 of an image with joint scaling; None where the scaling is another or not told."""
    value = float(arrays["image/range_db"]) if "image/range_db" in arrays else float("nan")
    return value if np.isfinite(value) else None
