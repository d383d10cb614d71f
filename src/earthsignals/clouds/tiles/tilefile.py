"""The file of triplets: tiles and what is known of each, written once and bit-identical.

    triplets = open_triplets("data/clouds/triplets.h5")
    images = triplets.images("study")               # (3N, 3, P, P) uint8, mapped from the file
    images[triplets.table("study")["role"] == "anchor"]

Layout of `triplets.h5`: a group per split ("train", "validation", "study") of N triplets, and the scenes:

    <split>/images   (3N, 3, P, P) uint8   brightness in 255ths of full scale; row 3·i + role, where role 0
                                           is the anchor of triplet i, 1 its neighbour, 2 its distant tile
    <split>/<column> (3N,)                 the columns of COLUMNS
    scenes/name, day, time, regime (S,)    text of fixed length
    about            ()                    JSON: format, version, tile_px, tile_km, dropped, about

The images of a split lie in one piece, triplet after triplet: a random triplet is one read of 9·P² bytes, and
a split is one memory map however large it is. Each tile has a CRC-32.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from earthsignals.compute.mapping import progress
from earthsignals.storage import EarthSignalsError, atomic_path

FORMAT = "earthsignals.clouds.triplets"
VERSION = 1
SPLITS = ("train", "validation", "study")
ROLES = ("anchor", "neighbour", "distant")
KNOWN = ("scale_km", "anisotropy", "clustering", "cloud_fraction")
"""What is known of a synthetic tile; NaN for others."""
COLUMNS = {
    "triplet": "<i4",
    "role": "u1",
    "scene": "<i4",
    "row": "<i4",
    "column": "<i4",
    "latitude": "<f8",
    "longitude": "<f8",
    "size_km": "<f8",
    "missing_share": "<f8",
    **dict.fromkeys(KNOWN, "<f8"),
    "crc32": "<u4",
}
"""Columns of a split in the file and their types; `role` and `scene` are numbers there."""
SCENE_TEXTS = ("name", "day", "time", "regime")
TABLE = (
    "triplet", "role", "scene", "day", "time", "row", "column", "latitude", "longitude", "size_km",
    "missing_share", "regime", *KNOWN,
)  # fmt: skip
"""Columns of `Triplets.table`, in order."""


class TripletsError(EarthSignalsError):
    """A file of triplets that cannot be made or used, with the remedy."""


@dataclass(frozen=True, eq=False)
class Triplets:
    """An open file of triplets; nothing needs closing. It pickles as its path and tables."""

    path: Path
    tile_px: int
    tile_km: float
    dropped: dict[str, int]
    """Reason → tiles or triplets that were left out or drawn anew."""
    about: dict[str, Any]
    """Where the triplets are from, and what was asked for."""
    tables: dict[str, pd.DataFrame]
    offsets: dict[str, int]
    """Where the images of each split begin in the file, in bytes."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the file: train, validation and study, whether or not they hold triplets."""
        return tuple(self.tables)

    def count(self, split: str) -> int:
        """Triplets N of a split."""
        return len(self.table(split)) // len(ROLES)

    def images(self, split: str) -> np.ndarray:
        """Tiles (3N, 3, P, P) uint8, read-only and mapped from the file: index them and only those are read.

        Row 3·i + role: role 0 is the anchor of triplet i, 1 its neighbour, 2 its distant tile.
        """
        shape = (len(self.table(split)), 3, self.tile_px, self.tile_px)
        if shape[0] == 0:
            return np.empty(shape, np.uint8)  # nothing can be mapped
        return np.memmap(self.path, np.uint8, mode="r", offset=self.offsets[split], shape=shape)

    def table(self, split: str) -> pd.DataFrame:
        """What is known of each tile of `images(split)`, in its order: 3N rows with the columns of TABLE.

        `row`, `column`: upper left pixel in the scene, −1 where unknown; `latitude`, `longitude`: of the
        tile's centre in degrees; `size_km`: its edge; `missing_share`: share of pixels that were missing and
        took the mean of the others. Unknown numbers are NaN, unknown texts "".

        Raises TripletsError for a name that is no split.
        """
        if split not in self.tables:
            raise TripletsError(f"{self.path}: no split `{split}`, expected one of {', '.join(self.tables)}")
        return self.tables[split]


def open_triplets(path: str | Path, *, verify: bool = True) -> Triplets:
    """Read a file's tables; the tiles stay on the disk.

    verify: compare all tiles with their CRC-32 now (about a second per gigabyte).

    Raises TripletsError: missing, truncated, damaged, or no file of triplets of this version.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise TripletsError(f"{path}: no such file; run `dvc repro clouds-triplets` or `dvc pull`")
    try:
        with h5py.File(path, "r") as file:
            about = _read_about(file, path)
            scenes = pd.DataFrame({name: file[f"scenes/{name}"].asstr()[()] for name in SCENE_TEXTS})
            edge = int(about["tile_px"])
            columns = {split: {name: file[split][name][()] for name in COLUMNS} for split in SPLITS}
            offsets = {split: _offset(file[split], edge) for split in SPLITS}
        tables = {split: _table(columns[split], scenes) for split in SPLITS}
    except (OSError, KeyError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0][:90]
        raise TripletsError(
            f"{path} cannot be read as triplets ({reason}): it is truncated or damaged; delete it and run "
            "`dvc repro clouds-triplets` or `dvc pull`"
        ) from None
    triplets = Triplets(
        path, edge, float(about["tile_km"]), about["dropped"], about["about"], tables, offsets
    )  # fmt: skip
    if verify:
        _verify(triplets, {split: columns[split]["crc32"] for split in SPLITS})
    return triplets


def _read_about(file: h5py.File, path: Path) -> dict[str, Any]:
    about = json.loads(file["about"][()]) if "about" in file else {}
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise TripletsError(
            f"{path} is no {FORMAT} file of version {VERSION}, expected one written by clouds-triplets; "
            "run `dvc repro clouds-triplets`"
        )
    return about


def _offset(group: h5py.Group, edge: int) -> int:
    images = group["images"]
    expected = (len(group["triplet"]), 3, edge, edge)
    offset = images.id.get_offset()
    if images.shape != expected or images.dtype != np.uint8 or (offset is None and expected[0]):
        raise KeyError(f"{group.name}/images is not stored in one piece of shape {expected}")
    return int(offset or 0)


def _table(columns: Mapping[str, np.ndarray], scenes: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({name: columns[name] for name in COLUMNS if name in TABLE})
    of_tile = scenes.iloc[columns["scene"]].reset_index(drop=True)
    table["role"] = np.array(ROLES, dtype=object)[columns["role"]]
    table["scene"] = of_tile["name"]
    for name in ("day", "time", "regime"):
        table[name] = of_tile[name]
    return table[list(TABLE)]


def _verify(triplets: Triplets, sums: Mapping[str, np.ndarray]) -> None:
    total = sum(len(values) for values in sums.values())
    with progress("checking triplets", total, "tiles") as bar:
        for split, expected in sums.items():
            images, damaged = triplets.images(split), []
            for row, value in enumerate(expected):
                if zlib.crc32(images[row]) != value:
                    damaged.append(row)
                bar.advance()
            if damaged:
                raise TripletsError(
                    f"{triplets.path}: {len(damaged)} tiles of {split} do not match their CRC-32 (first row "
                    f"{damaged[0]}): the file is damaged; delete it and run `dvc repro clouds-triplets` or "
                    "`dvc pull`"
                )


# ---------------------------------------------------------------------------------- writing
class Writer:
    """Fills a new file: `put` the tiles, in any order, then `finish` with the tables."""

    def __init__(self, file: h5py.File, counts: Mapping[str, int], tile_px: int, tile_km: float) -> None:
        self.file, self.tile_px, self.tile_km, self.finished = file, tile_px, tile_km, False
        self.sums = {}
        for split in SPLITS:
            rows = len(ROLES) * counts.get(split, 0)
            _allocate(file.create_group(split), "images", (rows, 3, tile_px, tile_px))
            self.sums[split] = np.zeros(rows, np.uint32)

    def put(self, split: str, rows: Sequence[int] | np.ndarray, tiles: np.ndarray) -> None:
        """Write tiles (n, 3, P, P) uint8 to these rows of a split."""
        images = self.file[split]["images"]
        for row, tile in zip(rows, tiles, strict=True):
            images[row] = tile
            self.sums[split][row] = zlib.crc32(np.ascontiguousarray(tile))

    def finish(
        self, tables: Mapping[str, pd.DataFrame], about: Mapping[str, Any], dropped: Mapping[str, int]
    ) -> None:
        """Write the tables (columns of TABLE, one row per tile, in the order of the images) and the rest.

        A scene has one day, time and regime. Raises TripletsError where a table has another length than its
        images.
        """
        keys = ["scene", "day", "time", "regime"]
        every = pd.concat([tables[split][keys] for split in SPLITS], ignore_index=True)
        scenes = every.drop_duplicates("scene").sort_values("scene", ignore_index=True)
        numbers = {name: number for number, name in enumerate(scenes["scene"])}
        group = self.file.create_group("scenes")
        for name, column in zip(SCENE_TEXTS, keys, strict=True):
            _write_text(group, name, scenes[column].to_numpy(dtype=str))
        for split in SPLITS:
            table, group = tables[split], self.file[split]
            if len(table) != len(self.sums[split]):
                raise TripletsError(
                    f"{self.file.filename}: {split} has {len(table)} rows for {len(self.sums[split])} tiles, "
                    "expected one row per tile; this is a fault of the program"
                )
            values = {name: table[name].to_numpy() for name in COLUMNS if name in table}
            values["scene"] = table["scene"].map(numbers).to_numpy()
            values["role"] = table["role"].map(ROLES.index).to_numpy()
            values["crc32"] = self.sums[split]
            for name, dtype in COLUMNS.items():
                group.create_dataset(name, data=values[name].astype(dtype), track_times=False)
        described = {
            "format": FORMAT, "version": VERSION, "tile_px": self.tile_px, "tile_km": self.tile_km,
            "dropped": dict(dropped), "about": dict(about),
        }  # fmt: skip
        text = json.dumps(described, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
        kind = h5py.string_dtype("utf-8", len(text))
        self.file.create_dataset("about", data=np.array(text, dtype=kind), track_times=False)
        self.finished = True


@contextmanager
def writing(path: str | Path, counts: Mapping[str, int], tile_px: int, tile_km: float) -> Iterator[Writer]:
    """A new file of so many triplets per split, which appears under its name when the block ends well.

    The same tiles and tables give the same bytes, in whatever order they are put. The room on the disk is
    taken at once, since HDF5 crashes the interpreter where it cannot write.
    """
    tiles = len(ROLES) * sum(counts.values())
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver="v110") as file:
            _reserve(file, tiles * (3 * tile_px**2 + 512) + (1 << 20))
            writer = Writer(file, counts, tile_px, tile_km)
            yield writer
            if not writer.finished:
                raise TripletsError(f"{path}: the tables were not written; this is a fault of the program")
            file.flush()
            size = file.id.get_filesize()
        os.truncate(temporary, size)


def _allocate(group: h5py.Group, name: str, shape: tuple[int, ...]) -> None:
    """A dataset in one piece, at a place that does not depend on the order of writing."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.STD_U8LE, h5py.h5s.create_simple(shape), dcpl=plan)


def _write_text(group: h5py.Group, name: str, values: np.ndarray) -> None:
    text = np.char.encode(values, "utf-8")
    # Text of fixed length: that of variable length lies in a heap whose bytes may differ.
    kind = h5py.string_dtype("utf-8", max(1, text.dtype.itemsize))
    group.create_dataset(name, data=text.astype(kind), track_times=False)


def _reserve(file: h5py.File, size: int) -> None:
    """Take `size` bytes of the disk for an open file; OSError where they are not there."""
    if hasattr(os, "posix_fallocate"):  # Linux; elsewhere a full disk shows when it is reached
        os.posix_fallocate(file.id.get_vfd_handle(), 0, size)
