"""Triplets from scenes: anchor, neighbour in the same scene, distant tile from another scene.

    triplets = make_triplets(Path("data/clouds/scenes"), params, Path("data/clouds/triplets.h5"))
    x = triplets.images("train")                    # (3N, 3, P, P) uint8

Every scene is read twice: once to learn where it has tiles, and, when all places are chosen, to cut them.
Memory holds one scene and its tiles for each worker. Scenes of the hourly series give no triplets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from earthsignals.clouds.imagery.index import Entry, Index, read_index
from earthsignals.clouds.imagery.scene import read_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.cutting import Cut, cut
from earthsignals.clouds.tiles.places import Ground, Places, place_triplets, survey
from earthsignals.clouds.tiles.tilefile import (
    KNOWN,
    ROLES,
    SPLITS,
    TABLE,
    Triplets,
    TripletsError,
    open_triplets,
    writing,
)
from earthsignals.compute.mapping import ordered_map

__all__ = ["Triplets", "TripletsError", "make_triplets", "open_triplets"]

TILES_AT_ONCE = 512  # of a scene: bounds what travels between processes


@dataclass(frozen=True)
class _Task:
    """Tiles to cut from one scene: rows of the split's table, and their upper left pixels."""

    split: str
    entry: Entry
    rows: np.ndarray
    corners: np.ndarray


def make_triplets(scenes: Path, params: CloudsParams, out: Path) -> Triplets:
    """Draw and cut the triplets of a folder of scenes and write `out`: the same bytes on every machine.

    The splits are those of the scenes' index, by day. `dropped` of the result counts scenes without a tile,
    places and pairs drawn anew, and triplets given up, by reason; `about["splits"]` tells for each split how
    many triplets were asked for and how many were made.

    Raises EarthSignalsError for scenes that cannot be read, TripletsError when they are on another grid than
    the parameters', when a split has too few, or when a day or a scene is in two splits.
    """
    index = read_index(scenes)
    _check_days(index, scenes)
    grounds, dropped = _survey(index, scenes, params)
    places, splits = {}, {}
    for split in SPLITS:
        of_split = [ground for entry in index.of(split) if (ground := grounds.get(entry.name))]
        asked = getattr(params.triplets, split)
        places[split] = place_triplets(of_split, asked, params.triplets, split, scenes.as_posix())
        dropped += places[split].redrawn
        splits[split] = {
            "asked": asked, "made": len(places[split].spots), "scenes": len(of_split),
            "redrawn": dict(sorted(places[split].redrawn.items())),
        }  # fmt: skip
    about = {
        "source": params.source, "splits": splits, "scenes_refused": dict(index.refused),
        "grid": params.grid.model_dump(mode="json"), "triplets": params.triplets.model_dump(mode="json"),
    }  # fmt: skip
    _write(index, scenes, grounds, places, params, out, about, dict(sorted(dropped.items())))
    return open_triplets(out, verify=False)


def _check_days(index: Index, scenes: Path) -> None:
    """No day and no scene in two splits, whoever wrote the index."""
    split_of: dict[str, str] = {}
    for entry in index.entries:
        for what in (f"day {entry.day}", f"scene {entry.name}"):
            if split_of.setdefault(what, entry.split) != entry.split:
                raise TripletsError(
                    f"{scenes}: the {what} is in the splits {split_of[what]} and {entry.split}, but what is "
                    "judged must not have been trained on; run `dvc repro clouds-scenes`"
                )


def _survey(index: Index, scenes: Path, params: CloudsParams) -> tuple[dict[str, Ground], Counter[str]]:
    """Usable places of each scene by its name, and how many scenes have none, by reason."""
    entries = [entry for split in SPLITS for entry in index.of(split)]
    surveyed = ordered_map(
        partial(_survey_one, scenes=scenes, params=params), entries, description="finding tiles",
        unit="scenes",
    )  # fmt: skip
    grounds, dropped = {}, Counter[str]()
    for entry, found in zip(entries, surveyed, strict=True):
        if isinstance(found, Ground):
            grounds[entry.name] = found
        else:
            dropped[found] += 1
    return grounds, dropped


def _survey_one(entry: Entry, scenes: Path, params: CloudsParams) -> Ground | str:
    scene = read_scene(scenes / entry.file)
    found, expected = scene.plane.pixel_km, params.grid.pixel_km
    if abs(found - expected) > 1e-9 * expected:
        raise TripletsError(
            f"{scenes / entry.file}: its pixels are of {found:.6g} km, expected {expected:.6g} km by "
            "clouds.grid; run `dvc repro clouds-scenes`"
        )
    return survey(scene, params.grid.tile_px, params.triplets.maximum_missing)


def _write(
    index: Index, scenes: Path, grounds: Mapping[str, Ground], places: Mapping[str, Places],
    params: CloudsParams, out: Path, about: Mapping[str, Any], dropped: Mapping[str, int],
) -> None:  # fmt: skip
    edge, tables, tasks = params.grid.tile_px, {}, []
    for split in SPLITS:
        entries = [entry for entry in index.of(split) if entry.name in grounds]
        tables[split] = _table(places[split].spots, entries, params.grid.tile_km)
        tasks += _tasks(split, entries, places[split].spots)
    counts = {split: len(places[split].spots) for split in SPLITS}
    with writing(out, counts, edge, params.grid.tile_km) as file:
        cuts = ordered_map(
            partial(_cut_one, scenes=scenes, edge=edge), tasks, description="cutting tiles", unit="tiles",
            sizes=[len(task.rows) for task in tasks],
        )  # fmt: skip
        for task, made in zip(tasks, cuts, strict=True):
            file.put(task.split, task.rows, made.tiles)
            for name, values in made.known.items():
                tables[task.split].loc[task.rows, name] = values
        file.finish(tables, about, dropped)


def _table(spots: np.ndarray, entries: Sequence[Entry], tile_km: float) -> pd.DataFrame:
    """The split's table (columns of TABLE, row 3·i + role), without what cutting tells."""
    scene, row, column = spots.reshape(-1, 3).T
    rows = np.arange(len(row))
    of_tile = [entries[number] for number in scene]
    told: dict[str, Any] = {
        "triplet": rows // len(ROLES), "role": np.array(ROLES)[rows % len(ROLES)],
        "row": row, "column": column,
        "scene": [entry.name for entry in of_tile], "day": [entry.day for entry in of_tile],
        "time": [entry.time for entry in of_tile], "regime": [entry.regime for entry in of_tile],
        "size_km": tile_km, "latitude": np.nan, "longitude": np.nan, "missing_share": np.nan,
        **dict.fromkeys(KNOWN, np.nan),
    }  # fmt: skip
    return pd.DataFrame(told, columns=list(TABLE), index=rows)


def _tasks(split: str, entries: Sequence[Entry], spots: np.ndarray) -> Iterator[_Task]:
    """What to cut from each scene; a scene that many tiles are cut from has several tasks."""
    scene, corners = spots.reshape(-1, 3)[:, 0], spots.reshape(-1, 3)[:, 1:]
    for number, entry in enumerate(entries):
        rows = np.flatnonzero(scene == number)
        for start in range(0, len(rows), TILES_AT_ONCE):
            part = rows[start : start + TILES_AT_ONCE]
            yield _Task(split, entry, part, corners[part])


def _cut_one(task: _Task, scenes: Path, edge: int) -> Cut:
    return cut(read_scene(scenes / task.entry.file), task.corners, edge)
