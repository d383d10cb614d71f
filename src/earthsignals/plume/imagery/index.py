"""The list of flightlines with what is known of them: `scenes.json`, written by simulation or ingestion.

Every later step starts here: it names each scene's file, mask, day and split, the wind if it is known, and
the true plumes. Files inside the folder are named relative to it, others as the user gave them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.plume.imagery.flightline import Flightline, open_flightline
from earthsignals.plume.imagery.masks import read_mask
from earthsignals.plume.imagery.splits import SPLITS
from earthsignals.storage import EarthSignalsError, read_json, write_json

NAME = "scenes.json"
_DAY = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?=t\d{6}|\D|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Scene:
    """One flightline of the index.

    wind_direction_deg: where the wind blows towards, clockwise from the image's top (row 0), so that
    it moves things by (sin, −cos) in columns and rows. retrieval: `linear`, `sparse` or `unknown`.
    plumes: {id, row, col, rate_kg_h, wind_m_s, mask_pixels} each, None where unknown; confusers: {kind,
    row, col} each.
    """

    stem: str
    day: str
    split: str
    path: Path
    mask: Path | None
    lines: int
    samples: int
    pixel_m: float
    wind_m_s: float | None = None
    wind_direction_deg: float | None = None
    retrieval: str = "unknown"
    plumes: tuple[Mapping[str, Any], ...] = ()
    confusers: tuple[Mapping[str, Any], ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, samples)"""
        return self.lines, self.samples

    def open(self, band: str | int | None = None) -> Flightline:
        """The scene's file, opened; close it, or use it in a `with`."""
        return open_flightline(self.path, band=band)

    def read_mask(self) -> np.ndarray:
        """uint8 (lines, samples): 0 none, 1 plume, 2 false enhancement; zeros if there is no mask."""
        if self.mask is None:
            return np.zeros(self.shape, np.uint8)
        return read_mask(self.mask, self.shape)


@dataclass(frozen=True)
class SceneIndex:
    """All scenes of a folder, what was left out by reason, and further counts worth telling."""

    source: str
    scenes: tuple[Scene, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    skipped_files: Mapping[str, str] = field(default_factory=dict)
    """File → why it was skipped, in a sentence."""
    counts: Mapping[str, int] = field(default_factory=dict)

    def of(self, split: str) -> list[Scene]:
        """Scenes of `train`, `validation` or `test`, in the index's order."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
        return [scene for scene in self.scenes if scene.split == split]


def day_of(stem: str) -> str | None:
    """`2020-09-24` for a name such as ang20200924t211102_ch4mf_v2y1_img; None if it tells no date."""
    for year, month, day in _DAY.findall(stem):
        if 1980 <= int(year) <= 2100 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
            return f"{year}-{month}-{day}"
    return None


def write_index(folder: str | Path, index: SceneIndex) -> None:
    """Write `scenes.json` in `folder`, atomically; equal indices give equal bytes."""
    folder = Path(folder)
    content = {name: getattr(index, name) for name in ("source", "skipped", "skipped_files", "counts")}
    content["scenes"] = [_record(scene, folder) for scene in index.scenes]
    write_json(folder / NAME, {key: dict(v) if isinstance(v, Mapping) else v for key, v in content.items()})


def read_index(folder: str | Path) -> SceneIndex:
    """Read the `scenes.json` of `folder`. Raises EarthSignalsError where it is missing or not whole."""
    folder = Path(folder)
    content = read_json(folder / NAME)
    try:
        return SceneIndex(
            source=content["source"],
            scenes=tuple(_scene(record, folder) for record in content["scenes"]),
            skipped=content.get("skipped", {}),
            skipped_files=content.get("skipped_files", {}),
            counts=content.get("counts", {}),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise EarthSignalsError(
            f"{folder / NAME}: not a list of scenes ({type(error).__name__}: {error}); write it anew with "
            "`dvc repro plume-scenes`."
        ) from None


def _record(scene: Scene, folder: Path) -> dict[str, Any]:
    record = {item.name: getattr(scene, item.name) for item in fields(Scene)}
    record |= {"path": _name(scene.path, folder), "mask": scene.mask and _name(scene.mask, folder)}
    return record | {key: [dict(item) for item in record[key]] for key in ("plumes", "confusers")}


def _scene(record: Mapping[str, Any], folder: Path) -> Scene:
    values = dict(record)
    if values["split"] not in SPLITS:
        raise EarthSignalsError(
            f"{folder / NAME}: scene {values['stem']} is in split {values['split']!r}, expected one of "
            f"{', '.join(SPLITS)}."
        )
    values["path"] = _place(values["path"], folder)
    values["mask"] = _place(values["mask"], folder) if values.get("mask") else None
    return Scene(**values | {key: tuple(values.get(key, ())) for key in ("plumes", "confusers")})


def _name(path: Path, folder: Path) -> str:
    inside = path.is_relative_to(folder)
    return (path.relative_to(folder) if inside else path).as_posix()


def _place(name: str, folder: Path) -> Path:
    inside = folder / name
    return inside if inside.exists() or not Path(name).exists() else Path(name)
