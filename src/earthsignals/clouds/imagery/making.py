"""Making the scenes of a folder one by one, resumable: each is made once, what is none is counted.

Finished scenes wait in a work folder, named after all that decides them, until the last one is there; a
killed run goes on from them. Then duplicates are left out, days divided, and the folder appears as a whole.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from earthsignals.clouds.goes.sun import solar_day
from earthsignals.clouds.imagery.index import Entry, Index, split_days, write_index
from earthsignals.clouds.imagery.scene import Scene, write_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import (
    EarthSignalsError,
    atomic_directory,
    atomic_path,
    read_json,
    sha256_file,
    write_json,
)

REFUSED = "refused.csv"


@dataclass(frozen=True)
class Made:
    """A finished scene in the work folder, or the reason why there is none."""

    source: str
    reason: str = ""
    detail: str = ""
    entry: Entry | None = None
    """Without a split; `file` is that in the work folder."""
    pixels: str = ""
    """Digest of brightness, by which copies are known."""
    moment: str = ""
    """Of two scenes that are alike in this, if it is known, one is a duplicate."""


@dataclass(frozen=True)
class SceneMaker:
    """Makes the scene of a numbered source unless it is there already; sent to worker processes."""

    read: Callable[[Any, CloudsParams], Scene]
    params: CloudsParams
    folder: Path

    def __call__(self, task: tuple[int, str, Any]) -> Made:
        number, name, source = task
        path, note = self.folder / f"{number:06d}.nc", self.folder / f"{number:06d}.json"
        before = _recalled(note, self.folder)
        if before is not None:
            return before
        made = self._make(name, source, path)
        write_json(note, {**vars(made), "entry": vars(made.entry) if made.entry else None})
        return made

    def _make(self, name: str, source: Any, path: Path) -> Made:
        tile = self.params.grid.tile_px
        try:
            scene = self.read(source, self.params)
        except EarthSignalsError as error:
            return Made(name, getattr(error, "reason", "unreadable"), getattr(error, "detail", str(error)))
        except MemoryError:  # not this file's fault alone
            raise
        except Exception as error:  # what no rule foresaw in one file must not stop the others
            return Made(name, "unreadable", f"{type(error).__name__}: {error}")
        if min(scene.plane.shape) < tile:
            rows, columns = scene.plane.shape
            return Made(
                name, "too-small", f"it has {rows} x {columns} pixels on the plane, a tile {tile} x {tile}"
            )
        write_scene(path, scene)
        day = solar_day(scene.time, scene.plane.longitude).isoformat()
        entry = replace(Entry.of(scene, path, split=""), day=day)
        return Made(name, entry=entry, pixels=_digest(scene), moment=_moment(scene))


def make_scenes(
    read: Callable[[Any, CloudsParams], Scene],
    sources: Sequence[tuple[str, Any]],
    params: CloudsParams,
    out: Path,
    *,
    work: Path,
    about: Mapping[str, Any],
) -> Index:
    """Write the scenes of named sources to the folder `out`, with `scenes.json` and `refused.csv`.

    `read(source, params)` makes a scene and must pickle; what it raises as EarthSignalsError refuses that
    source, by the error's `reason`. work: a folder named after all that decides the scenes; removed at the
    end. Days are those of mean solar time at the scene's middle.

    Raises EarthSignalsError when no scene is left, or only scenes of fewer than three days.
    """
    work.mkdir(parents=True, exist_ok=True)
    tasks = [(number, name, source) for number, (name, source) in enumerate(sources)]
    made = list(ordered_map(SceneMaker(read, params, work), tasks, description="scenes", unit="scenes"))
    made = _without_duplicates(made)
    kept, refused = [one for one in made if one.entry], [one for one in made if not one.entry]
    counts = Counter(one.reason for one in refused)
    if not kept:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        raise EarthSignalsError(
            f"{about['source']}: none of its {len(made)} files or scans is a scene ({told}); the first, "
            f"{made[0].source}: {made[0].detail}"
        )
    split = _split([one.entry for one in kept], params)
    with atomic_directory(out) as temporary:
        entries, names = [], set()
        for one in kept:
            name = _free_name(one.entry.name, names)
            entries.append(replace(
                one.entry, name=name, file=f"{name}.nc", split=split.get(one.entry.day, "study"),
            ))  # fmt: skip
            _link(work / one.entry.file, temporary / f"{name}.nc")
        _write_refused(temporary / REFUSED, refused)
        index = write_index(temporary, entries, counts, {**about, "sources": len(made)})
    shutil.rmtree(work)
    return index


def _recalled(note: Path, folder: Path) -> Made | None:
    """What an earlier run left, if its scene is as it was written."""
    try:
        told = read_json(note)
        entry = Entry(**told["entry"]) if told["entry"] else None
        if entry is None or sha256_file(folder / entry.file) == entry.sha256:
            return Made(**{**told, "entry": entry})
    except (EarthSignalsError, OSError, TypeError, KeyError):
        pass
    return None


def _digest(scene: Scene) -> str:
    digest = hashlib.sha256(repr(scene.values.shape).encode())
    digest.update(scene.values.tobytes())
    digest.update(scene.valid.tobytes())
    return digest.hexdigest()


def _moment(scene: Scene) -> str:
    """What was seen where and when; "" at noon sharp, which stands for a date without a time of day.

    Two satellites pass a region on one day, and pictures with a date alone do not tell them apart.
    """
    if (scene.time.hour, scene.time.minute, scene.time.second) == (12, 0, 0):
        return ""
    middle = f"{scene.plane.latitude:.2f} {scene.plane.longitude:.2f}"
    satellite = scene.name.split("_")[0] if scene.name.startswith("G1") else ""
    return f"{satellite} {scene.product} {'/'.join(scene.bands)} {scene.time:%Y%m%dT%H%M%S} {middle}"


def _without_duplicates(made: Sequence[Made]) -> list[Made]:
    """Of scenes with the same pixels, or of the same satellite, place and time, the first stays."""
    seen: dict[str, str] = {}
    kept = []
    for one in made:
        first = next((seen[key] for key in (one.pixels, one.moment) if key and key in seen), None)
        if one.entry and first is not None:
            kept.append(Made(one.source, "duplicate", f"the same scene as {first}"))
            continue
        if one.entry:
            seen.update({key: one.source for key in (one.pixels, one.moment) if key})
        kept.append(one)
    return kept


def _split(entries: Sequence[Entry], params: CloudsParams) -> dict[str, str]:
    """Split of each day; a day of the series alone has none."""
    strata: dict[str, list[str]] = {}
    for entry in entries:
        if not entry.series:
            strata.setdefault(entry.day, []).extend([entry.regime] if entry.regime else [])
    triplets = params.triplets
    return split_days(
        list(strata), triplets.validation_fraction, triplets.study_fraction, triplets.seed, strata
    )


def _free_name(name: str, taken: set[str]) -> str:
    """The name, or with the next free number behind it; files of equal names may lie in several folders."""
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name}-{number}"
    taken.add(free)
    return free


def _link(source: Path, target: Path) -> None:
    """The file under a second name; a copy where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_refused(path: Path, refused: Sequence[Made]) -> None:
    """A table of file, reason, detail, also when it is empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "reason", "detail"))
        for one in refused:
            row = (one.source, one.reason, one.detail)
            writer.writerow([text.encode("utf-8", "backslashreplace").decode() for text in row])
