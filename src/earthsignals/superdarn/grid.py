"""The dataset of the ionosphere: frames in time, and in each the vectors that radars saw.

    grid = open_grid("data/superdarn/grid.h5")
    seen = grid.vectors(t)                              # of one frame: views, no copies
    grid.velocity[grid.offsets[t - 45] : grid.offsets[t]]      # of the 45 frames before
    for t in grid.issues("train", history_frames=45, lead_frames=30, stride=6): ...

A line of sight sees one component of the drift: velocity = v·k̂ with k̂ = (cos kvect, sin kvect), north and
east. The file keeps the observations themselves and no averages, since neither azimuths nor radars can be
averaged; what a raster of them looks like is `state.sums`' business. Components are (north, east) everywhere.

The layout of `grid.h5` is that of the attributes: a dataset per array of FRAMES (T,) and of VECTORS (N,),
`offsets` (T + 1,), and `about`, JSON with the parameters, the counts of what was dropped, and the checksum.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.superdarn.framing import (
    Splits,
    activity,
    frame_numbers,
    frames_of,
    one_per_frame,
    usable,
)
from earthsignals.superdarn.gridded import GridFile, Seen
from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.mlt import mlt_of_zero
from earthsignals.superdarn.params import GridParams
from earthsignals.superdarn.records.vectors import Vectors

__all__ = ["GridError", "GridFile", "Seen", "arranged", "grid_of", "open_grid", "write_grid"]

FORMAT = "earthsignals.superdarn.grid"
VERSION = 1
ACTIVITY_MINUTES = 60
FRAMES = {
    "times_s": "<i8", "mlt_zero": "<f8", "split": "u1", "block": "<i4", "segment": "<i4", "activity": "<f4",
}  # fmt: skip
VECTORS = {
    "frame": "<i4", "row": "<i2", "column": "<i2", "stid": "<i2", "channel": "<i2", "index": "<i4",
    "kvect": "<f4", "velocity": "<f4", "velocity_sd": "<f4", "mlat": "<f4", "mlon": "<f4",
}  # fmt: skip


class GridError(EarthSignalsError):
    """A grid that cannot be made or used, with the remedy."""


def grid_of(vectors: Vectors, params: GridParams, splits: Splits = None) -> GridFile:
    """Vectors, in any order, as a grid in memory.

    splits: as `superdarn.split` of the parameters; a function of the frames' starts (T,) in seconds that
    gives 0, 1 or 2 for each; without, every frame is of the first split.

    Raises GridError where no vector is left (the reasons are counted), EarthSignalsError for too few blocks.
    """
    layout = layout_of(params)
    vectors, dropped = usable(vectors, layout)
    return arranged(vectors, dropped, params, splits, {})


def arranged(
    vectors: Vectors, dropped: Mapping[str, int], params: GridParams, splits: Splits, about: Mapping[str, Any]
) -> GridFile:
    """A grid in memory from `usable` vectors. `dropped`: what was left out before."""
    if len(vectors) == 0:
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in sorted(dropped.items()))
        raise GridError(
            f"superdarn: no vector of the {params.hemisphere} is left to make a grid of"
            f"{f' ({reasons})' if reasons else ''}; set superdarn.grid.hemisphere and grid.latitude_min to "
            "what the records hold"
        )
    cadence_s, layout = 60 * params.cadence_minutes, layout_of(params)
    vectors, repeated = one_per_frame(vectors, cadence_s)
    numbers = frame_numbers(vectors, cadence_s)
    frames = frames_of(numbers, params, splits)
    offsets = np.searchsorted(numbers, np.append(frames.times_s // cadence_s, numbers[-1] + 1))
    frame = np.repeat(np.arange(len(frames.times_s), dtype=np.int32), np.diff(offsets))
    row, column = layout.place(vectors.mlat, vectors.mlon)
    seen = {
        "speed": np.bincount(frame, vectors.velocity.astype(np.float64), len(frames.times_s)),
        "count": np.diff(offsets),
    }
    return GridFile(
        params, layout, times_s=frames.times_s,
        # Rounded, far below a minute: trigonometry differs in its last digits from machine to machine.
        mlt_zero=np.round(mlt_of_zero(frames.times_s + cadence_s / 2), 6) % 24.0,
        split=frames.split, block=frames.block, segment=frames.segment,
        activity=activity(seen, frames.segment, max(1, ACTIVITY_MINUTES // params.cadence_minutes)),
        offsets=offsets.astype(np.int64), frame=frame, row=row.astype(np.int16),
        column=column.astype(np.int16), stid=vectors.stid, channel=vectors.channel, index=vectors.index,
        kvect=vectors.kvect, velocity=vectors.velocity,
        velocity_sd=np.where(np.isfinite(vectors.velocity_sd), vectors.velocity_sd, np.float32(np.nan)),
        mlat=vectors.mlat, mlon=vectors.mlon,
        dropped=dict(sorted((Counter(dropped) + repeated).items())), about=dict(about),
    )  # fmt: skip


def write_grid(path: str | Path, grid: GridFile) -> None:
    """Write a grid: equal grids give equal bytes, on every machine."""
    arrays = {**_arrays(grid, FRAMES), "offsets": grid.offsets.astype("<i8"), **_arrays(grid, VECTORS)}
    about = {
        "format": FORMAT, "version": VERSION, "params": grid.params.model_dump(mode="json"),
        "dropped": grid.dropped, "about": grid.about,
        "crc32": {name: zlib.crc32(array.tobytes()) for name, array in arrays.items()},
    }  # fmt: skip
    text = json.dumps(about, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    # Text of fixed length: that of variable length lies in a heap whose bytes may differ.
    arrays["about"] = np.array(text, dtype=h5py.string_dtype("utf-8", len(text)))
    size = sum(array.nbytes for array in arrays.values())
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver="v110") as file:
            if hasattr(os, "posix_fallocate"):  # HDF5 crashes the interpreter where it cannot write
                os.posix_fallocate(file.id.get_vfd_handle(), 0, size + (1 << 20))
            for name, array in arrays.items():
                file.create_dataset(name, data=array, track_times=False)
            file.flush()
            size = file.id.get_filesize()
        os.truncate(temporary, size)


def _arrays(grid: GridFile, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(getattr(grid, name), dtype) for name, dtype in dtypes.items()}


def open_grid(path: str | Path, *, verify: bool = True) -> GridFile:
    """Open a grid: its arrays are mapped from the file, and what is written into them stays in memory.

    verify: compare all arrays with their checksums now (a fraction of a second per day of records).

    Raises GridError: missing, truncated, damaged, or no grid of this version.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise GridError(f"{path}: no such file; run `dvc repro superdarn-grid` or `dvc pull`")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file["about"][()]) if "about" in file else {}
            if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
                raise GridError(
                    f"{path} is no {FORMAT} file of version {VERSION}, expected one of superdarn-grid; "
                    "run `dvc repro superdarn-grid`"
                )
            arrays = {
                name: _mapped(path, file[name], dtype)
                for name, dtype in {**FRAMES, "offsets": "<i8", **VECTORS}.items()
            }
        params = GridParams.model_validate_json(json.dumps(about["params"]))
        wrong = [name for name in arrays if verify and zlib.crc32(arrays[name]) != about["crc32"][name]]
        if wrong:
            raise ValueError(f"checksum of {', '.join(wrong)}")
        _check_lengths(arrays)
    except (OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:90]
        raise GridError(
            f"{path} cannot be read as a grid ({reason}): it is truncated or damaged; delete it and run "
            "`dvc repro superdarn-grid` or `dvc pull`"
        ) from None
    return GridFile(
        params, layout_of(params), **arrays, dropped=about["dropped"], about=about["about"], path=path
    )  # fmt: skip


def _mapped(path: Path, dataset: h5py.Dataset, dtype: str) -> np.ndarray:
    """A dataset as an array over the file's pages, which processes share; copied where written to."""
    offset, size = dataset.id.get_offset(), dataset.size * dataset.dtype.itemsize
    if dataset.dtype != np.dtype(dtype) or dataset.ndim != 1 or (size and offset is None):
        raise ValueError(f"{dataset.name} is not stored in one piece of {dtype}")
    if not size:
        return np.zeros(0, dtype)
    if offset + size > path.stat().st_size:
        raise ValueError(f"{dataset.name} ends beyond the file")
    return np.asarray(np.memmap(path, dtype, mode="c", offset=offset, shape=dataset.shape))


def _check_lengths(arrays: Mapping[str, np.ndarray]) -> None:
    frames = {len(arrays[name]) for name in FRAMES} | {len(arrays["offsets"]) - 1}
    vectors = {len(arrays[name]) for name in VECTORS} | {int(arrays["offsets"][-1])}
    if len(frames) > 1 or len(vectors) > 1:
        raise ValueError("its arrays differ in length")
