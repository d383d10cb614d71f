"""Tiles that others cut and labelled: a table of paths and labels beside folders of small GeoTIFFs.

    tiles256/<flightline>/pos/<flightline>_tile256x256+258+2606.tif        path,label
                          neg/…            false enhancement               <flightline>/pos/…tif,1
                          bg/…             nothing of note                 <flightline>/neg/…tif,-1

The form of srcfinder (github.com/carbon-mapper/srcfinder). The numbers in a name are height × width, then
column + row of the tile's upper left pixel: in the published tables the second runs to thousands of lines,
the first stays within the swath. Tiles that overhang the swath's edge are filled up by whoever cut them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earthsignals.plume.imagery.flightline import FlightlineError, open_flightline
from earthsignals.plume.imagery.index import day_of

BG, NEG, POS = 0, 1, 2
KINDS = {"bg": BG, "neg": NEG, "pos": POS}
LABELS = {"bg": {0}, "neg": {-1, 0}, "pos": {1}}
TABLE, PARTS = "data_labels.csv", ("train", "test")
MISSING = "tiles listed but not there"
_NAME = re.compile(
    r"^(?P<flightline>.+)_tile(?P<height>\d+)x(?P<width>\d+)\+(?P<col>\d+)\+(?P<row>\d+)\.tiff?$"
)


@dataclass(frozen=True)
class TileRecord:
    """One labelled tile. label: 1 plume, 0 none; kind: 0 bg, 1 neg, 2 pos; row, col: its upper left pixel
    in the flightline; published: `train` or `test` as the authors split them (days in both), else None."""

    path: Path
    label: int
    kind: int
    flightline: str
    day: str
    row: int
    col: int
    shape: tuple[int, int]
    published: str | None = None


def holds_manifest(folder: str | Path) -> bool:
    """Is this a folder of ready-made tiles (tables or a tree of them) rather than of flightlines?

    A train.csv of other columns is no table of tiles: STARCOP puts one beside its chips.
    """
    folder = Path(folder)
    parts = [folder / f"{name}.csv" for name in PARTS]
    return (folder / TABLE).is_file() or any(map(_lists_tiles, parts)) or any(
        next(tree.glob(f"*/{kind}/*_tile*.tif"), None)
        for tree in (folder, folder / "tiles256") for kind in KINDS
    )  # fmt: skip


def read_manifest(folder: str | Path) -> list[TileRecord]:
    """Tiles of `data_labels.csv`, else of train.csv and test.csv, else of the folders themselves.

    Paths are relative to `folder` or its `tiles256`, or absolute. The files need not be there: `present`
    tells. Raises FlightlineError, with file and line, for a table without the columns path and label, a
    path of another form, a label that its folder's name contradicts, a tile listed twice, or no tile.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FlightlineError(f"{folder}: no such folder of tiles; expected {TABLE} and tiles in it.")
    published = {
        path: name for name in PARTS for _, path, _ in _rows(folder / f"{name}.csv", missing_ok=True)
    }
    tables = [folder / TABLE] if (folder / TABLE).is_file() else [folder / f"{name}.csv" for name in PARTS]
    if any(table.is_file() for table in tables):
        rows = [row for table in tables for row in _rows(table, missing_ok=True)]
        base = folder if not (folder / "tiles256").is_dir() else folder / "tiles256"
        records = [_record(folder, base, where, path, label, published) for where, path, label in rows]
    else:
        records = list(_from_folders(folder))
    if not records:
        raise FlightlineError(
            f"{folder}: no tile in it; expected {TABLE} (path,label) or <flightline>/{{pos,neg,bg}}/*.tif."
        )
    _refuse_twins(folder, records)
    return records


def present(records: Iterable[TileRecord]) -> tuple[list[TileRecord], dict[str, int]]:
    """The records whose file is there, and the count of those whose file is not."""
    records = list(records)
    there = [record for record in records if record.path.is_file()]
    missing = len(records) - len(there)
    return there, {MISSING: missing} if missing else {}


def read_tile(record: TileRecord, band: str | int | None = None) -> np.ndarray:
    """The tile's CH4 band, float32 (rows, columns) in ppm·m, NaN where nothing was measured.

    Raises FlightlineError for a missing file or one of another size than its name says.
    """
    with open_flightline(record.path, band=band) as tile:
        if tile.shape != record.shape:
            raise FlightlineError(
                f"{record.path}: the tile has {tile.shape[0]} × {tile.shape[1]} pixels, its name says "
                f"{record.shape[0]} × {record.shape[1]}; cut it again, or leave its line out of the table."
            )
        return tile.read()


def _lists_tiles(table: Path) -> bool:
    if not table.is_file():
        return False
    with table.open(encoding="utf-8-sig", errors="replace") as file:
        return {"path", "label"} <= set(file.readline().strip().split(","))


def _rows(table: Path, missing_ok: bool = False) -> Iterator[tuple[str, str, int]]:
    """(file and line, path, label) of each row of a table."""
    if missing_ok and not table.is_file():
        return
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"path", "label"} <= set(reader.fieldnames or ()):
                raise FlightlineError(
                    f"{table}: its first line is {','.join(reader.fieldnames or ()) or 'empty'}, expected "
                    "path,label."
                )
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                label = (row["label"] or "").strip()
                if label not in ("-1", "0", "1"):
                    raise FlightlineError(
                        f"{where}: the label is {label or 'missing'}, expected 1 plume, 0 none or -1 false."
                    )
                yield where, (row["path"] or "").strip(), int(label)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FlightlineError(f"{table}: not a CSV table ({error}); expected path,label.") from None


def _record(
    folder: Path, base: Path, where: str, name: str, label: int, published: dict[str, str]
) -> TileRecord:
    record = _parsed(where, name)
    kind = Path(name).parent.name
    if label not in LABELS[kind]:
        raise FlightlineError(
            f"{where}: label {label} for a tile in a folder {kind}/, where expected is "
            f"{' or '.join(map(str, sorted(LABELS[kind])))}; correct the label or move the tile ({name})."
        )
    path = base / name if (base / name).is_file() else folder / name
    return TileRecord(**record, path=path, label=int(label == 1), published=published.get(name))


def _from_folders(folder: Path) -> Iterator[TileRecord]:
    base = folder / "tiles256" if (folder / "tiles256").is_dir() else folder
    for kind in KINDS:
        for path in sorted(base.glob(f"*/{kind}/*.tif")):
            yield TileRecord(**_parsed(str(path), path.as_posix()), path=path, label=int(kind == "pos"))


def _parsed(where: str, name: str) -> dict:
    """What the path of a tile tells: <flightline>/<kind>/<flightline>_tile<H>x<W>+<col>+<row>.tif"""
    parts: Sequence[str] = Path(name).parts
    match = _NAME.match(parts[-1]) if parts else None
    right = match is not None and len(parts) >= 3 and parts[-2] in KINDS
    if not right or match["flightline"] != parts[-3]:
        raise FlightlineError(
            f"{where}: the path {name or '(empty)'} is not of the form "
            "<flightline>/{pos,neg,bg}/<flightline>_tile256x256+<column>+<row>.tif."
        )
    return {
        "kind": KINDS[parts[-2]], "flightline": parts[-3],
        "day": day_of(parts[-3]) or f"undated {parts[-3]}", "row": int(match["row"]),
        "col": int(match["col"]), "shape": (int(match["height"]), int(match["width"])),
    }  # fmt: skip


def _refuse_twins(folder: Path, records: Sequence[TileRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.path.name in seen:
            raise FlightlineError(
                f"{folder}: the tile {record.path.name} is listed twice; keep one line or file of it."
            )
        seen.add(record.path.name)
