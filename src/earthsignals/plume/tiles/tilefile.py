"""The tiles file: windows cut from flightlines with what they show, written once and bit-identical.

Layout of `tiles.h5`: one group per window, "64" and "256", of N tiles, and the flightlines they are from:

    <W>/tiles   (N, W, W) float32   matched-filter CH4 [ppm·m]; NaN where invalid or outside of the scene
    <W>/mask    (N, W, W) uint8     0 nothing, 1 plume, 2 false enhancement
    <W>/kind    (N,) uint8          0 bg, 1 neg (a false enhancement, no plume), 2 pos (a plume)
    <W>/label   (N,) uint8          1 where kind is pos
    <W>/split   (N,) uint8          0 train, 1 validation, 2 test
    <W>/scene   (N,) int32          row of the tables below
    <W>/row, col (N,) int32         the pixel whose saliency the window gives: rows row - W/2 .. row + W/2 - 1
    <W>/plume   (N,) int32          number of the plume within its scene's list; -1 for the other kinds
    scenes/stem, day (S,) text      flightline and its day; scenes/split (S,) uint8, pixel_m (S,) float64

The attribute `counts` (JSON) says how many tiles of which kind each split has and how many places were
left out for which reason. Arrays lie in one piece each, so that they are read without HDF5's machinery.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path

FORMAT = "earthsignals.plume.tiles"
VERSION = 1
SPLITS = {"train": 0, "validation": 1, "test": 2}
KINDS = {"bg": 0, "neg": 1, "pos": 2}
COLUMNS = {
    "kind": ("u1", "0 bg, 1 neg, 2 pos"),
    "label": ("u1", "1 plume, 0 none"),
    "split": ("u1", "0 train, 1 validation, 2 test"),
    "scene": ("<i4", "row of the tables in /scenes"),
    "row": ("<i4", "line of the window's pixel"),
    "col": ("<i4", "sample of the window's pixel"),
    "plume": ("<i4", "number in the scene's list of plumes; -1 none"),
}


class TilesError(EarthSignalsError):
    """A file of tiles that cannot be made or used, with the remedy."""


@dataclass(frozen=True)
class SceneTable:
    """The flightlines of a tiles file, (S,) each: `stem` and `day` as text, `split` as its code."""

    stem: np.ndarray
    day: np.ndarray
    split: np.ndarray
    pixel_m: np.ndarray


@dataclass(frozen=True)
class TileGroup:
    """The tiles of one window. Columns (N,) are in memory; `tiles` and `mask` are read on demand.

    `tiles` (N, W, W) float32 and `mask` (N, W, W) uint8 are read-only memory maps: index them with
    slices or integers and only those tiles are read. They pickle as the path, for spawned processes.
    """

    path: Path
    window: int
    kind: np.ndarray
    label: np.ndarray
    split: np.ndarray
    scene: np.ndarray
    row: np.ndarray
    col: np.ndarray
    plume: np.ndarray
    scenes: SceneTable
    tiles_at: int
    mask_at: int

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def tiles(self) -> np.ndarray:
        """Enhancement (N, W, W) float32 [ppm·m], NaN where invalid."""
        return self._map("<f4", self.tiles_at)

    @property
    def mask(self) -> np.ndarray:
        """(N, W, W) uint8: 0 nothing, 1 plume, 2 false enhancement."""
        return self._map("u1", self.mask_at)

    @property
    def stem(self) -> np.ndarray:
        """Flightline of each tile, (N,) text."""
        return self.scenes.stem[self.scene]

    @property
    def day(self) -> np.ndarray:
        """Day of each tile, (N,) text."""
        return self.scenes.day[self.scene]

    def rows(self, split: str) -> np.ndarray:
        """Indices (B,) of the tiles of a split."""
        return np.flatnonzero(self.split == SPLITS[split])

    def _map(self, dtype: str, offset: int) -> np.ndarray:
        shape = (len(self), self.window, self.window)
        return np.memmap(self.path, dtype, mode="r", offset=offset, shape=shape)


@dataclass(frozen=True)
class TileFile:
    """An open tiles file: `windows` that it holds, its `scenes`, and `group(window)`."""

    path: Path
    windows: tuple[int, ...]
    scenes: SceneTable
    has_masks: bool
    """False for tiles from a manifest, which knows no pixels of a plume: their masks are 0 throughout."""
    counts: dict[str, Any]
    attributes: dict[str, Any]
    groups: dict[int, TileGroup]

    def group(self, window: int) -> TileGroup:
        """The tiles of a window. Raises TilesError where the file has none of it."""
        if window not in self.groups:
            raise TilesError(
                f"{self.path} holds no tiles of window {window} (it has {self.windows}): set "
                "plume.tiles.window or plume.peers.models accordingly and run `dvc repro plume-tiles`"
            )
        return self.groups[window]


def open_tiles(path: str | Path) -> TileFile:
    """Read a tiles file's tables; the tiles themselves stay on the disk. Nothing needs closing.

    Raises TilesError: missing, truncated, damaged, or no tiles file of this version.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise TilesError(f"{path}: no such tiles file; run `dvc repro plume-tiles` or `dvc pull`")
    try:
        with h5py.File(path, "r") as handle:
            attributes = dict(handle.attrs)
            if attributes.get("format") != FORMAT or attributes.get("version") != VERSION:
                raise TilesError(
                    f"{path} is no {FORMAT} file of version {VERSION}, expected one written by plume-tiles; "
                    "run `dvc repro plume-tiles`"
                )
            table = handle["scenes"]
            scenes = SceneTable(
                table["stem"].asstr()[:], table["day"].asstr()[:], table["split"][:], table["pixel_m"][:]
            )
            windows = tuple(sorted(int(name) for name in handle if name.isdigit()))
            groups = {window: _group(path, window, handle[str(window)], scenes) for window in windows}
    except (OSError, KeyError) as error:
        raise TilesError(
            f"{path} cannot be read as a tiles file ({str(error).splitlines()[0][:90]}): it is truncated or "
            "damaged; delete it and run `dvc repro plume-tiles` (or `dvc pull`) again"
        ) from None
    counts = json.loads(attributes["counts"])
    return TileFile(path, windows, scenes, bool(attributes["has_masks"]), counts, attributes, groups)


def _group(path: Path, window: int, group: h5py.Group, scenes: SceneTable) -> TileGroup:
    columns = {name: group[name][:] for name in COLUMNS}
    expected = (len(columns["kind"]), window, window)
    offsets = []
    for name in ("tiles", "mask"):
        offset = group[name].id.get_offset()
        if group[name].shape != expected or offset is None:
            raise KeyError(f"{window}/{name} is not stored in one piece of shape {expected}")
        offsets.append(int(offset))
    return TileGroup(path, window, **columns, scenes=scenes, tiles_at=offsets[0], mask_at=offsets[1])


# ---------------------------------------------------------------------------------- writing
@contextmanager
def writing(
    path: Path, columns: dict[int, dict[str, np.ndarray]], scenes: SceneTable, attributes: dict[str, Any]
) -> Iterator[h5py.File]:
    """A new tiles file with all of its tables; the block fills `<W>/tiles` and `<W>/mask`.

    columns: for each window the columns of COLUMNS, (N,) each. The file appears under its name only when
    the block ends well, and its room on the disk is taken at once: HDF5 crashes the interpreter when it
    cannot write.
    """
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver="v110") as file:
            tiles = sum(len(table["kind"]) * window**2 for window, table in columns.items())
            _reserve(file, tiles * 5 + sum(len(t["kind"]) * 64 for t in columns.values()) + (1 << 20))
            for name, value in {"format": FORMAT, "version": VERSION, **attributes}.items():
                file.attrs[name] = value
            _write_scenes(file.create_group("scenes"), scenes)
            for window, table in columns.items():
                group = file.create_group(str(window))
                for name, (dtype, meaning) in COLUMNS.items():
                    values = np.asarray(table[name]).astype(dtype)
                    group.create_dataset(name, data=values, track_times=False).attrs["meaning"] = meaning
                shape = (len(table["kind"]), window, window)
                # Early allocation: the arrays' places do not depend on the order of writing.
                for name, dtype, unit in (("tiles", "<f4", "ppm·m"), ("mask", "u1", "class")):
                    _allocate(group, name, shape, dtype).attrs["units"] = unit
            yield file
            file.flush()
            size = file.id.get_filesize()
        os.truncate(temporary, size)


def _write_scenes(group: h5py.Group, scenes: SceneTable) -> None:
    for name in ("stem", "day"):
        text = np.char.encode(np.asarray(getattr(scenes, name), dtype=str), "utf-8")
        # Text of fixed length: that of variable length lies in a heap whose bytes may differ.
        kind = h5py.string_dtype("utf-8", max(1, text.dtype.itemsize))
        group.create_dataset(name, data=text.astype(kind), track_times=False)
    group.create_dataset("split", data=np.asarray(scenes.split, "u1"), track_times=False)
    group.create_dataset("pixel_m", data=np.asarray(scenes.pixel_m, "<f8"), track_times=False)


def _allocate(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=plan))


def _reserve(file: h5py.File, size: int) -> None:
    """Take `size` bytes of the disk for an open file; OSError where they are not there."""
    if hasattr(os, "posix_fallocate"):  # Linux; elsewhere a full disk shows when it is reached
        os.posix_fallocate(file.id.get_vfd_handle(), 0, size)
