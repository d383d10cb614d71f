"""Triplets as a folder of pictures, the layout that convml_tt reads, there and back.

    <folder>/train/00012_anchor.png  00012_neighbor.png  00012_distant.png  00012_meta.yaml
    <folder>/val/…                   validation; folders in the wild have train/ and study/ alone
    <folder>/study/…

What a foreign folder lacks is named and counted: incomplete triplets, pictures that cannot be read or are of
another size than the first, metadata that are missing or cannot be read (such triplets are kept).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from earthsignals.clouds.tiles.held_out import hold_out
from earthsignals.clouds.tiles.seed_meta import Row, blank_rows, meta_text, read_meta
from earthsignals.clouds.tiles.tilefile import (
    ROLES,
    SPLITS,
    TABLE,
    Triplets,
    TripletsError,
    open_triplets,
    writing,
)
from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import atomic_directory

FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "study": ("study",)}
SPELLED = {"anchor": ("anchor",), "neighbour": ("neighbor", "neighbour"), "distant": ("distant",)}
NAMED = 20  # of each reason, so many triplets are named

_PICTURE = re.compile(r"(\d+)_([a-z]+)\.png")


def export_folder(triplets: Triplets, folder: str | Path) -> dict[str, int]:
    """Write all triplets as pictures and metadata into `folder`, which is replaced as a whole.

    Numbers begin at 0 in each split. Returns the triplets of each split.
    """
    with atomic_directory(folder) as temporary:
        for split in triplets.splits:
            place = temporary / FOLDERS[split][0]
            place.mkdir()
            for _ in ordered_map(
                partial(_export, place=place), _each(triplets, split),
                description=f"writing {split} pictures", unit="triplets", sizes=[1] * triplets.count(split),
            ):  # fmt: skip
                pass
    return {split: triplets.count(split) for split in triplets.splits}


def _each(triplets: Triplets, split: str) -> Iterator[tuple[int, np.ndarray, list[Row]]]:
    """Number, tiles (3, 3, P, P) and rows of each triplet."""
    images, table = triplets.images(split), triplets.table(split).to_dict("records")
    for number in range(triplets.count(split)):
        rows = slice(len(ROLES) * number, len(ROLES) * (number + 1))
        yield number, np.array(images[rows]), table[rows]


def _export(triplet: tuple[int, np.ndarray, list[Row]], place: Path) -> None:
    number, tiles, rows = triplet
    for role, tile in zip(ROLES, tiles, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0)))
        picture.save(place / f"{number:05d}_{SPELLED[role][0]}.png")
    (place / f"{number:05d}_meta.yaml").write_text(meta_text(rows), encoding="utf-8")


@dataclass(frozen=True)
class _Found:
    """What reading a triplet told: its edge in pixels, or why it is left out, and its rows."""

    name: str
    edge: int = 0
    fault: str = ""
    rows: Sequence[Row] = ()
    remark: str = ""


@dataclass
class _Faults:
    """Counted reasons, each with the first triplets' names."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        named = self.names.setdefault(reason, [])
        if len(named) < NAMED:
            named.append(name)


def import_folder(folder: str | Path, out: str | Path, tile_km: float) -> Triplets:
    """Bring a folder of pictures into a file of triplets, `out`.

    tile_km: edge of the tiles, for those whose metadata do not tell it; the file's is that of most tiles.
    `dropped` of the result counts what was left out or is not known, by reason; `about["named"]` has the
    triplets' names for each reason, at most 20. Grey pictures become three equal bands, transparency is left
    off. Where there is no `val/`, validation is held out from `train/` (see held_out.py). `about["shared"]`
    says how many scenes and days the study triplets have in common with the others: folders in the wild are
    often divided by triplet, and what is judged on them then was partly trained on.

    Raises TripletsError when there are no triplets to train on or none to study.
    """
    folder = Path(folder)
    files = {split: _list(folder, split) for split in SPLITS}
    if not files["train"] or not files["study"]:
        lacking = "train" if not files["train"] else "study"
        raise TripletsError(
            f"{folder}: {lacking}/ holds no pictures of triplets, expected {lacking}/00000_anchor.png, "
            "00000_neighbor.png, 00000_distant.png and so on; name the folder that holds train/ and study/"
        )
    faults = _Faults()
    usable = {split: _usable(files[split], split, faults) for split in SPLITS}
    edge = _one_size(usable, faults)
    held_out = not files["validation"]
    if held_out:
        usable["train"], usable["validation"] = hold_out(
            usable["train"], lambda found: found.rows, faults.add
        )
    for split in SPLITS:
        if not usable[split]:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(faults.counts.items()))
            raise TripletsError(
                f"{folder}: no usable triplets for {split} ({reasons or 'none there'}); put complete "
                f"triplets into {FOLDERS[split][0]}/"
            )
    tables = {split: _table(usable[split], split, tile_km) for split in SPLITS}
    about = {
        "source": folder.name,
        "splits": {split: {"made": len(usable[split]), "scenes": int(tables[split]["scene"].nunique())}
                   for split in SPLITS},
        "validation_held_out": held_out, "named": dict(sorted(faults.names.items())),
        "shared": _shared(tables),
    }  # fmt: skip
    most = float(pd.concat([table["size_km"] for table in tables.values()]).mode()[0])
    with writing(out, {split: len(usable[split]) for split in SPLITS}, edge, most) as file:
        for split in SPLITS:
            paths = {found.name: files["train" if held_out and split == "validation" else split][found.name]
                     for found in usable[split]}  # fmt: skip
            tiles = ordered_map(
                _read_tiles, list(paths.values()), description=f"reading {split} pictures", unit="triplets"
            )
            for number, three in enumerate(tiles):
                first = len(ROLES) * number
                file.put(split, range(first, first + len(ROLES)), three)
        file.finish(tables, about, dict(sorted(faults.counts.items())))
    return open_triplets(out, verify=False)


def _list(folder: Path, split: str) -> dict[str, dict[str, Path]]:
    """Pictures of a split: "train/00012" → role → file, in the order of the numbers."""
    found: dict[str, dict[str, Path]] = {}
    roles = {spelling: role for role, spellings in SPELLED.items() for spelling in spellings}
    for name in FOLDERS[split]:
        place = folder / name
        if not place.is_dir():
            continue
        pictures = [(path, match) for path in place.iterdir() if (match := _PICTURE.fullmatch(path.name))]
        for path, match in sorted(pictures, key=lambda pair: (int(pair[1][1]), pair[0].name)):
            if match[2] in roles:
                found.setdefault(f"{name}/{match[1]}", {})[roles[match[2]]] = path
    return found


def _usable(files: dict[str, dict[str, Path]], split: str, faults: _Faults) -> list[_Found]:
    """The triplets that can be read, in order; the others are named and counted."""
    found = ordered_map(
        _inspect, list(files.items()), description=f"looking through {split} pictures", unit="triplets"
    )
    usable = []
    for triplet in found:
        if triplet.fault:
            faults.add(triplet.fault, triplet.name)
            continue
        if triplet.remark:
            faults.add(triplet.remark, triplet.name)
        usable.append(triplet)
    return usable


def _inspect(item: tuple[str, dict[str, Path]]) -> _Found:
    name, pictures = item
    absent = [SPELLED[role][0] for role in ROLES if role not in pictures]
    if absent:
        return _Found(name, fault=f"incomplete triplet left out: no {' and no '.join(absent)} picture")
    try:
        shapes = {_read_tile(path).shape for path in pictures.values()}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow may raise
        return _Found(name, fault="triplet left out: a picture cannot be read")
    height, width = shapes.pop()[1:]
    if shapes or height != width:
        return _Found(name, fault="triplet left out: its pictures are not squares of one size")
    meta = pictures["anchor"].with_name(f"{name.split('/')[1]}_meta.yaml")
    if not meta.is_file():
        return _Found(name, edge=height, rows=blank_rows(), remark="metadata missing: triplet kept")
    try:
        return _Found(name, edge=height, rows=read_meta(meta))
    except ValueError:
        return _Found(name, edge=height, rows=blank_rows(), remark="metadata cannot be read: triplet kept")


def _one_size(usable: dict[str, list[_Found]], faults: _Faults) -> int:
    """The edge that most triplets have; those of other sizes are taken out, named and counted."""
    sizes = Counter(found.edge for triplets in usable.values() for found in triplets)
    edge = max(sizes, key=lambda size: (sizes[size], size), default=0)
    for split, triplets in usable.items():
        for found in triplets:
            if found.edge != edge:
                faults.add(f"triplet left out: its pictures are not of {edge} pixels", found.name)
        usable[split] = [found for found in triplets if found.edge == edge]
    return edge


def _read_tiles(pictures: dict[str, Path]) -> np.ndarray:
    return np.stack([_read_tile(pictures[role]) for role in ROLES])


def _read_tile(path: Path) -> np.ndarray:
    """A picture as (3, H, W) uint8. Raises ValueError for one of more than eight bits."""
    with Image.open(path) as picture:
        if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
            raise ValueError(f"{path}: pixels of mode {picture.mode}, expected eight bits")
        return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)


def _table(usable: Sequence[_Found], split: str, tile_km: float) -> pd.DataFrame:
    """The split's table. A scene without a name gets one of its own, so that none passes for another's."""
    rows: list[dict[str, Any]] = []
    for number, found in enumerate(usable):
        for role, row in zip(ROLES, found.rows, strict=True):
            group = "distant" if role == "distant" else "target"
            unnamed = f"unknown-{found.name.replace('/', '-')}-{group}"
            rows.append({**row, "triplet": number, "role": role, "scene": row["scene"] or unnamed})
    table = pd.DataFrame(rows, columns=list(TABLE))
    table["size_km"] = table["size_km"].fillna(tile_km)
    table["missing_share"] = table["missing_share"].fillna(0.0)
    return table


def _shared(tables: dict[str, pd.DataFrame]) -> dict[str, int]:
    """Scenes and days that the study triplets have in common with those of training and validation."""
    others = pd.concat([tables["train"], tables["validation"]])
    return {
        f"{column}s": len((set(tables["study"][column]) & set(others[column])) - {""})
        for column in ("scene", "day")
    }
