"""Daily grid files of radars become one file of frames, split by blocks of time.

    summary = make_grid(Path("data/superdarn/records"), params, Path("data/superdarn/grid.h5"))

Each file is read by one worker; the frames are made of all of them together, so that neither the order of the
files nor which file a record of midnight lies in shows in the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import cells_above
from earthsignals.superdarn.framing import SPLITS, usable
from earthsignals.superdarn.grid import GridError, GridFile, arranged, write_grid
from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.vectors import Vectors

HEMISPHERES = ("north", "south")


@dataclass(frozen=True)
class GridSummary:
    """What a grid was made of, and what became of the rest."""

    frames: int
    vectors: int
    coverage: float
    """Share of the cells poleward of `latitude_min` that a frame's vectors lie in, in the mean."""
    splits: dict[str, dict[str, Any]]
    """Of each split: blocks, frames, vectors, and the first and last frame (ISO 8601, UTC)."""
    radars: dict[str, int]
    """Vectors of each radar, by its station id."""
    dropped: dict[str, int]
    """Vectors that were left out, by reason."""
    files: int
    """Files read."""
    other_hemisphere: int
    """Files of the other hemisphere, which were not opened."""
    refused: dict[str, str]
    """Files that could not be read, by name, and why."""
    faults: dict[str, int]
    """What was wrong with files of which the rest was read, by reason."""


@dataclass(frozen=True)
class _File:
    """What a worker found in a file."""

    vectors: Vectors
    dropped: Counter[str]
    faults: Counter[str]
    refused: str = ""


def make_grid(records: Path, params: SuperdarnParams, out: Path) -> GridSummary:
    """Read the daily grid files of a folder and write `out` (see `grid.py`): the same bytes on every machine.

    Files that cannot be read are left out and named in the summary.

    Raises GridError for a folder without a file of the hemisphere or without a usable vector, and
    EarthSignalsError where the records make fewer than three blocks of time.
    """
    hemisphere = params.grid.hemisphere
    paths = {name: _files(records, name) for name in HEMISPHERES}
    if not paths[hemisphere]:
        others = sum(map(len, paths.values()))
        other = f" (of the other hemisphere it has {others}: see superdarn.grid.hemisphere)" if others else ""
        raise GridError(
            f"{records}: holds no grid file of the {hemisphere}{other}, expected "
            f"YYYYMMDD.{hemisphere}.grid.bz2; run `dvc repro superdarn-records`"
        )
    found = list(ordered_map(
        partial(_read, params=params), paths[hemisphere], description="reading grid files", unit="files"
    ))  # fmt: skip
    refused = {
        path.name: file.refused for path, file in zip(paths[hemisphere], found, strict=True) if file.refused
    }
    dropped = sum((file.dropped for file in found), Counter())
    faults = sum((file.faults for file in found), Counter())
    vectors = Vectors.concatenate([file.vectors for file in found])
    if refused and not len(vectors):
        raise GridError(
            f"{records}: none of its {len(found)} files gave a vector: {next(iter(refused.values()))}"
        )
    grid = arranged(vectors, dropped, params.grid, params.split, {})
    summary = GridSummary(
        len(grid), len(grid.velocity), _coverage(grid), _splits(grid), _radars(grid), grid.dropped,
        len(found) - len(refused), sum(map(len, paths.values())) - len(found), refused,
        dict(sorted(faults.items())),
    )  # fmt: skip
    grid.about.update(asdict(summary), split=params.split.model_dump(mode="json"))
    write_grid(out, grid)
    return summary


def _files(folder: Path, hemisphere: str) -> list[Path]:
    return sorted(
        path for path in folder.glob(f"*.{hemisphere}.grid*")
        if path.name.endswith((".grid", ".grid.bz2")) and not path.name.startswith(".")
    )  # fmt: skip


def _read(path: Path, params: SuperdarnParams) -> _File:
    from earthsignals.superdarn.records.read import read_vectors  # brings pydarnio

    try:
        read = read_vectors(path, params, path.name)
    except EarthSignalsError as error:
        return _File(Vectors.empty(), Counter(), Counter(), refused=str(error))
    faults: Counter[str] = Counter()
    for note in read.notes:
        faults[note.reason] += note.count
    vectors, dropped = usable(read.vectors, layout_of(params.grid))
    return _File(vectors, dropped, faults)


def _coverage(grid: GridFile) -> float:
    cells = len(cells_above(grid.params.latitude_min))
    seen = np.unique((grid.frame.astype(np.int64) << 32) + np.abs(grid.index.astype(np.int64)))
    return round(len(seen) / (cells * len(grid)), 6)


def _radars(grid: GridFile) -> dict[str, int]:
    stations, counts = np.unique(grid.stid, return_counts=True)
    return {str(stid): int(count) for stid, count in zip(stations, counts, strict=True)}


def _splits(grid: GridFile) -> Mapping[str, dict[str, Any]]:
    per_frame, splits = np.diff(grid.offsets), {}
    for number, name in enumerate(SPLITS):
        here = np.flatnonzero(grid.split == number)
        splits[name] = {
            "blocks": len(np.unique(grid.block[here])), "frames": len(here),
            "vectors": int(per_frame[here].sum()),
            "first": _iso(grid.times_s[here[0]]), "last": _iso(grid.times_s[here[-1]]),
        }  # fmt: skip
    return splits


def _iso(time_s: int) -> str:
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
