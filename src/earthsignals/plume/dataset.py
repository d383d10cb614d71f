"""Tiles for training and for tile-level scores: cut from flightlines, or brought in from a manifest.

    counts = make_tiles(read_index(folder), params, Path("data/plume/tiles.h5"))
    group = open_tiles("data/plume/tiles.h5").group(64)
    x = group.tiles[group.rows("train")]            # (B, 64, 64) float32, ppm·m, NaN where invalid

All places are chosen first and all tiles cut afterwards, flightline by flightline (on a cluster several at a
time), so memory holds one flightline's masks, a strip of its lines and its tiles. The layout of the file is
told in tilefile.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.mapping import ordered_map, progress
from earthsignals.compute.seeds import philox
from earthsignals.plume.imagery.flightline import Flightline, open_flightline
from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.imagery.manifest import TileRecord, present, read_manifest, read_tile
from earthsignals.plume.imagery.splits import split_days
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.tiles.places import Places, choose_places, cut
from earthsignals.plume.tiles.tilefile import (
    KINDS,
    SPLITS,
    SceneTable,
    TileFile,
    TileGroup,
    TilesError,
    open_tiles,
    writing,
)

__all__ = [
    "KINDS", "SPLITS", "SceneTable", "TileFile", "TileGroup", "TilesError",
    "make_tiles", "make_tiles_of_manifest", "open_tiles", "windows_of",
]  # fmt: skip

SYNTHETIC = "synthetic"
STRIP_PIXELS = 1 << 24  # of a flightline in memory at a time: 64 MB
Counts = dict[str, Any]


def windows_of(params: PlumeParams) -> tuple[int, ...]:
    """Every window that tiles are needed for: `tiles.window` and those of the peers."""
    peers = (int(name.rsplit("-", 1)[1]) for name in params.peers.models)
    return tuple(sorted({params.tiles.window, *peers}))


def make_tiles(index: SceneIndex, params: PlumeParams, out: Path) -> Counts:
    """Cut tiles of every needed window from the scenes of an index and write `out`.

    Positives hold at least `tiles.minimum_plume_pixels` of a plume, negatives a false enhancement and
    no plume, backgrounds neither; windows with fewer plume pixels are left out. The same bytes on every
    machine.

    Returns the counts, also kept in the file: `tiles` (window, split, kind -> number) and `left_out`
    (window, reason -> number of refused draws).

    Raises TilesError when a split has no plume, FlightlineError for a flightline that cannot be read.
    """
    windows = windows_of(params)
    chosen: dict[int, list[Places]] = {window: [] for window in windows}
    for places in ordered_map(
        partial(_choose, windows=windows, params=params), list(enumerate(index.scenes)),
        description="choosing tiles", unit="flightlines", inline=True,
    ):  # fmt: skip
        for window in windows:
            chosen[window].append(places[window])
    columns = {window: _columns(places, index.scenes) for window, places in chosen.items()}
    left_out = {window: sum((p.left_out for p in places), Counter()) for window, places in chosen.items()}
    counts = _counted(columns, left_out)
    remedy = f"add flightlines of further days to {index.source}"
    if index.source == SYNTHETIC:
        remedy = "set plume.scenes.days or plume.emission.plumes_per_flightline higher"
    _check_splits(counts, out, remedy)
    attributes = _attributes(index.source, params, counts)
    rows = [_rows_of(number, columns) for number in range(len(index.scenes))]
    with writing(out, columns, _table(index.scenes), attributes) as file:
        cuts = ordered_map(
            partial(_cut_scene, band=params.preprocessing.band),
            ((scene, _points(columns, mine)) for scene, mine in zip(index.scenes, rows, strict=True)),
            description="cutting tiles", unit="tiles", inline=True,
            sizes=[sum(part.stop - part.start for part in mine.values()) for mine in rows],
        )  # fmt: skip
        for mine, made in zip(rows, cuts, strict=True):
            for window, (tiles, masks) in made.items():
                file[f"{window}/tiles"][mine[window]] = tiles
                file[f"{window}/mask"][mine[window]] = masks
    return counts


def make_tiles_of_manifest(folder: Path, params: PlumeParams, out: Path) -> Counts:
    """Bring the tiles of a manifest (see manifest.py) into `out`; returns the counts as `make_tiles` does.

    Splits are by day. The published train.csv and test.csv have tiles of one day in both, so they are not
    followed: `counts["published split not followed"]` tells for how many tiles that makes a difference.
    A manifest knows no pixels of a plume: `has_masks` is False in the file, and all masks are 0.

    Raises TilesError when the tiles are not of the one window that the parameters ask for or a split has
    no plume, FlightlineError for a manifest or a tile that cannot be read.
    """
    records, missing = present(read_manifest(folder))
    window = _window_of_manifest(folder, records, params)
    split = split_days(
        (record.day for record in records), params.tiles.validation_fraction, params.tiles.test_fraction,
        params.tiles.seed,
    )  # fmt: skip
    scenes: dict[str, TileRecord] = {}
    for record in records:
        scenes.setdefault(record.flightline, record)
    number = {flightline: n for n, flightline in enumerate(scenes)}
    half = window // 2
    columns = {
        "kind": np.array([record.kind for record in records]),
        "label": np.array([record.label for record in records]),
        "split": np.array([SPLITS[split[record.day]] for record in records]),
        "scene": np.array([number[record.flightline] for record in records]),
        "row": np.array([record.row + half for record in records]),
        "col": np.array([record.col + half for record in records]),
        "plume": np.full(len(records), -1),
    }
    counts = _counted({window: columns}, {window: Counter(missing)})
    counts["published split not followed"] = sum(
        record.published is not None and (record.published == "test") != (split[record.day] == "test")
        for record in records
    )
    _check_splits(counts, out, f"add tiles of other days to {folder}")
    table = SceneTable(
        np.array(list(scenes)), np.array([record.day for record in scenes.values()]),
        np.array([SPLITS[split[record.day]] for record in scenes.values()]),
        np.array([_pixel_of(record, params) for record in scenes.values()]),
    )  # fmt: skip
    attributes = _attributes(folder.as_posix(), params, counts, has_masks=False)
    with (
        writing(out, {window: columns}, table, attributes) as file,
        progress("reading tiles", len(records), "tiles") as bar,
    ):
        for place, record in enumerate(records):
            file[f"{window}/tiles"][place] = read_tile(record, params.preprocessing.band)
            file[f"{window}/mask"][place] = 0
            bar.advance()
    return counts


def _window_of_manifest(folder: Path, records: Sequence[TileRecord], params: PlumeParams) -> int:
    if not records:
        raise TilesError(
            f"{folder}: none of the tiles that its manifest lists is there; put the tiles beside the tables"
        )
    shapes = Counter(record.shape for record in records)
    windows = windows_of(params)
    if len(windows) > 1 or set(shapes) != {(windows[0], windows[0])}:
        found = ", ".join(f"{n:,} of {h} × {w}" for (h, w), n in shapes.most_common(3))
        raise TilesError(
            f"{folder} holds tiles of other sizes ({found} pixels) than the windows that the parameters ask "
            f"for ({', '.join(map(str, windows))}): ready-made tiles cannot be cut anew, so set "
            "plume.tiles.window and the windows of plume.peers.models to their size"
        )
    return windows[0]


def _pixel_of(record: TileRecord, params: PlumeParams) -> float:
    with open_flightline(record.path, band=params.preprocessing.band) as tile:
        return tile.pixel_m


def _choose(
    task: tuple[int, Scene], windows: Sequence[int], params: PlumeParams
) -> dict[int, Places]:
    """Places for the tiles of a numbered scene, by window."""
    number, scene = task
    mask = scene.read_mask()
    with scene.open(params.preprocessing.band) as flightline:
        valid = _valid(flightline)
    plumes = [(plume["row"], plume["col"]) for plume in scene.plumes]
    confusers = [(confuser["row"], confuser["col"]) for confuser in scene.confusers]
    return {
        window: choose_places(
            mask, valid, plumes, confusers, window, params.tiles,
            philox(params.tiles.seed, f"plume-tiles-{window}", number),
        )  # fmt: skip
        for window in windows
    }


def _valid(flightline: Flightline) -> np.ndarray:
    """Where the CH4 band has a value, (L, S) bool, read in strips."""
    lines, samples = flightline.shape
    valid = np.empty((lines, samples), dtype=bool)
    step = max(1, STRIP_PIXELS // samples)
    for start in range(0, lines, step):
        rows = slice(start, min(start + step, lines))
        valid[rows] = np.isfinite(flightline.read(rows))
    return valid


def _columns(places: Sequence[Places], scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """The file's columns of all scenes' places; within a scene in the order of lines."""
    parts = []
    for number, (chosen, scene) in enumerate(zip(places, scenes, strict=True)):
        n = len(chosen)
        kind = np.array([KINDS[name] for name in chosen.kind], dtype=np.uint8)
        part = {
            "kind": kind, "label": kind == KINDS["pos"], "split": np.full(n, SPLITS[scene.split]),
            "scene": np.full(n, number), "row": np.array(chosen.row, dtype=np.int64),
            "col": np.array(chosen.col, dtype=np.int64), "plume": np.array(chosen.plume, dtype=np.int64),
        }  # fmt: skip
        order = np.argsort(part["row"], kind="stable")  # strips are then read once each
        parts.append({name: values[order] for name, values in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows_of(number: int, columns: dict[int, dict[str, np.ndarray]]) -> dict[int, slice]:
    """Rows of a scene's tiles in the table of each window; the tables are in the order of scenes."""
    return {
        window: slice(*np.searchsorted(table["scene"], (number, number + 1)).tolist())
        for window, table in columns.items()
    }


def _points(columns: dict[int, dict[str, np.ndarray]], rows: dict[int, slice]) -> dict[int, list]:
    """(row, col) of the places of some rows, for each window that has any."""
    return {
        window: [(int(row), int(col)) for row, col in zip(*(columns[window][c][part] for c in ("row", "col")),
                                                          strict=True)]
        for window, part in rows.items()
        if part.stop > part.start
    }  # fmt: skip


def _cut_scene(
    task: tuple[Scene, dict[int, list]], band: str | int | None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Tiles (n, W, W) float32 and masks (n, W, W) uint8 of a scene, by window."""
    scene, points = task
    mask, made = scene.read_mask(), {}
    with scene.open(band) as flightline:
        for window, places in points.items():
            strips = _Strips(flightline, window)
            tiles = np.stack([strips.cut(row, col) for row, col in places])
            made[window] = tiles, np.stack([cut(mask, row, col, window, 0) for row, col in places])
    return made


class _Strips:
    """Windows of a flightline at places whose rows do not decrease, from strips that are read once."""

    def __init__(self, flightline: Flightline, window: int) -> None:
        self.flightline, self.window = flightline, window
        self.height = max(2 * window, STRIP_PIXELS // flightline.shape[1])
        self.start, self.strip = 0, np.empty((0, flightline.shape[1]), dtype=np.float32)

    def cut(self, row: int, col: int) -> np.ndarray:
        """The window (W, W) float32 [ppm·m] of a place, NaN outside of the scene."""
        lines = self.flightline.shape[0]
        top = row - self.window // 2
        low, high = max(0, top), min(lines, top + self.window)
        if low < self.start or high > self.start + len(self.strip):
            self.start = low
            self.strip = self.flightline.read(slice(low, min(lines, low + self.height)))
        return cut(self.strip, row - self.start, col, self.window, np.nan)


def _table(scenes: Sequence[Scene]) -> SceneTable:
    return SceneTable(
        np.array([scene.stem for scene in scenes]), np.array([scene.day for scene in scenes]),
        np.array([SPLITS[scene.split] for scene in scenes]), np.array([scene.pixel_m for scene in scenes]),
    )  # fmt: skip


def _counted(columns: dict[int, dict[str, np.ndarray]], left_out: dict[int, Counter[str]]) -> Counts:
    tiles = {
        str(window): {
            split: {
                kind: int(((table["split"] == code) & (table["kind"] == number)).sum())
                for kind, number in KINDS.items()
            }
            for split, code in SPLITS.items()
        }
        for window, table in columns.items()
    }
    refused = {str(window): dict(sorted(counter.items())) for window, counter in left_out.items()}
    return {"tiles": tiles, "left_out": refused}


def _check_splits(counts: Counts, out: Path, remedy: str) -> None:
    for window, splits in counts["tiles"].items():
        for split, kinds in splits.items():
            missing = "plume" if not kinds["pos"] else None
            if missing is None and not kinds["bg"] + kinds["neg"]:
                missing = "tile without a plume"
            if missing:
                raise TilesError(
                    f"{out}: among the {split} days there is no {missing} for a window of {window} pixels, "
                    f"and neither training nor judging can do without: {remedy}"
                )


def _attributes(
    source: str, params: PlumeParams, counts: Counts, *, has_masks: bool = True
) -> dict[str, Any]:
    described = {"tiles": params.tiles.model_dump(mode="json"), "windows": list(windows_of(params))}
    return {
        "source": source, "has_masks": has_masks, "params": json.dumps(described, sort_keys=True),
        "counts": json.dumps(counts, sort_keys=True),
    }  # fmt: skip
