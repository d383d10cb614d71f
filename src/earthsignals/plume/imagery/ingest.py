"""Real flightlines and their masks made into an index of scenes; the images stay where they are.

Found below the source folder: ENVI images, GeoTIFFs, and folders of chips as STARCOP has them (`mag1c.tif`
with `labelbinary.tif`), each with its mask beside it. What cannot be used is left out and told: a count by
reason and a sentence by file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from earthsignals.compute.mapping import progress
from earthsignals.plume.imagery.envi import find_pair
from earthsignals.plume.imagery.flightline import FlightlineError, open_flightline, stem_of
from earthsignals.plume.imagery.index import Scene, SceneIndex, day_of, write_index
from earthsignals.plume.imagery.manifest import holds_manifest, read_manifest
from earthsignals.plume.imagery.masks import FALSE_ENHANCEMENT, PLUME, find_mask, read_mask
from earthsignals.plume.imagery.splits import split_days
from earthsignals.plume.imagery.winds import read_winds, with_wind
from earthsignals.plume.params import PlumeParams
from earthsignals.storage import is_partial

UNDATED = "flightlines whose name tells no date, each a day of its own"
WINDLESS = "flightlines without wind"
NO_MASK = "flightlines without a mask"
NO_BINARY = "headers without their binary"
UNREADABLE = "flightlines that cannot be read"
BAD_MASK = "masks that do not fit or cannot be read"
DERIVED = "saliency maps, which are no flightlines"
NO_HEADER = "binaries without a header"
_FLIGHT = re.compile(r"ang\d{8}t\d{6}", re.IGNORECASE)
_TOUCHING = np.ones((3, 3), bool)  # pixels that meet at a corner belong together
_CHIP = ("mag1c.tif", "labelbinary.tif")


def ingest_folder(source: str | Path, params: PlumeParams, out_folder: str | Path) -> SceneIndex:
    """Write `scenes.json` in `out_folder` for the flightlines below `source`; returns it.

    Days are split by `params.tiles`; the plumes are the connected parts of each mask, their place the pixel
    of strongest enhancement. Winds and rates come from `winds.csv` in `source`, else they are unknown. A
    folder of ready-made tiles has no flightlines: its index is empty, and the tiles are brought in by
    plume-tiles.

    Raises FlightlineError where `source` is no folder, holds no usable flightline, or the same flightline
    twice, or a `winds.csv` with a fault; EarthSignalsError for fewer than three days.
    """
    source = Path(source)
    if not source.is_dir():
        raise FlightlineError(
            f"{source}: no such folder of flightlines; plume.source takes `synthetic`, a folder of "
            "flightlines with masks, or one of tiles with a manifest."
        )
    if holds_manifest(source):
        index = SceneIndex(source.as_posix(), (), counts={"tiles": len(read_manifest(source))})
        write_index(out_folder, index)
        return index
    skipped: dict[str, tuple[str, str]] = {}
    found = list(_find_flightlines(source, skipped))
    _refuse_twins(found)
    winds = read_winds(source, _names(found, skipped))
    scenes = []
    with progress("reading flightlines", len(found), "flightlines") as bar:
        for name, path in found:
            scene = _scene(name, path, params.preprocessing.band, skipped)
            scenes += [] if scene is None else [with_wind(scene, winds)]
            bar.advance(1)
    if not scenes:
        reasons = "; ".join(f"{n} {reason}" for reason, n in _counted(skipped).items()) or "nothing at all"
        raise FlightlineError(
            f"{source}: no flightline with a mask below it ({reasons}); name masks `<stem>_mask.png`, .tif "
            "or .img, and put them beside their flightlines."
        )
    split = split_days(
        (scene.day for scene in scenes), params.tiles.validation_fraction, params.tiles.test_fraction,
        params.tiles.seed,
    )  # fmt: skip
    lacking = {
        UNDATED: sum(day_of(scene.stem) is None for scene in scenes),
        WINDLESS: sum(scene.wind_m_s is None for scene in scenes),
    }
    index = SceneIndex(
        source=source.as_posix(),
        scenes=tuple(replace(scene, split=split[scene.day]) for scene in scenes),
        skipped=_counted(skipped),
        skipped_files={name: sentence for name, (_, sentence) in sorted(skipped.items())},
        counts={"flightlines": len(scenes), "days": len(split)} | {k: n for k, n in lacking.items() if n},
    )
    write_index(out_folder, index)
    return index


def find_chips(source: str | Path) -> list[Path]:
    """Folders below `source` that hold a chip: `mag1c.tif` with `labelbinary.tif`, sorted by name."""
    folders = {path.parent for path in Path(source).rglob(_CHIP[0])}
    return sorted(folder for folder in folders if (folder / _CHIP[1]).is_file())


def _find_flightlines(source: Path, skipped: dict[str, tuple[str, str]]) -> Iterator[tuple[str, Path]]:
    """(name, file) of everything that is a flightline by its form; what is not, noted in `skipped`."""
    chips = find_chips(source)
    yield from ((folder.name, folder / _CHIP[0]) for folder in chips)
    for path in sorted(source.rglob("*")):
        stem = stem_of(stem_of(path))  # <stem>.img.hdr has two suffixes
        if not path.is_file() or is_partial(path.name) or path.parent in chips or stem.endswith("_mask"):
            continue
        suffix = path.suffix.lower()
        if suffix not in (".hdr", ".img", ".tif", ".tiff"):
            continue
        if "_saliency" in stem:
            if suffix != ".hdr":
                skipped[str(path)] = (DERIVED, f"{path}: a saliency map, made from a flightline.")
            continue
        try:
            file = path if suffix in (".tif", ".tiff") else find_pair(path)[0]
        except FlightlineError as error:
            skipped[str(path)] = (NO_BINARY if suffix == ".hdr" else NO_HEADER, str(error))
            continue
        if suffix != ".img":  # its header brings it
            yield stem_of(file), file


def _names(found: list[tuple[str, Path]], skipped: dict[str, tuple[str, str]]) -> set[str]:
    """Names of all flightlines, those included of which half a pair is missing."""
    halves = {stem_of(stem_of(path)) for path, (why, _) in skipped.items() if why in (NO_BINARY, NO_HEADER)}
    return {name for name, _ in found} | halves


def _refuse_twins(found: list[tuple[str, Path]]) -> None:
    """The same flight twice would stand in training with two weights, or on both sides of a split."""
    seen: dict[str, Path] = {}
    for name, path in found:
        flight = _FLIGHT.match(name)
        # Chips are windows of flights: several of one flight are several scenes.
        key = name if flight is None or path.name == _CHIP[0] else flight[0].lower()
        if key in seen:
            raise FlightlineError(
                f"{path} and {seen[key]} are the same flightline ({key}); keep one of them in the folder."
            )
        seen[key] = path


def _scene(
    name: str, path: Path, band: str | int | None, skipped: dict[str, tuple[str, str]]
) -> Scene | None:
    mask_path = find_mask(path)
    if mask_path is None:
        sentence = f"{path}: no mask {stem_of(path)}_mask.png, .tif or .img beside it."
        skipped[str(path)] = (NO_MASK, sentence)
        return None
    try:
        with open_flightline(path, band=band) as flightline:
            ch4, shape, pixel_m = flightline.read(), flightline.shape, flightline.pixel_m
    except FlightlineError as error:
        skipped[str(path)] = (UNREADABLE, str(error))
        return None
    try:
        mask = read_mask(mask_path, shape)
    except FlightlineError as error:
        skipped[str(path)] = (BAD_MASK, str(error))
        return None
    return Scene(
        stem=name, day=day_of(name) or f"undated {name}", split="train", path=path, mask=mask_path,
        lines=shape[0], samples=shape[1], pixel_m=pixel_m, retrieval=_retrieval(path),
        plumes=tuple(_plumes(mask, ch4)), confusers=tuple(_confusers(mask, ch4)),
    )  # fmt: skip


def _plumes(mask: np.ndarray, ch4: np.ndarray) -> Iterator[dict[str, Any]]:
    for number, (row, col, pixels) in enumerate(_parts(mask == PLUME, ch4)):
        yield {
            "id": f"plume-{number}", "row": row, "col": col, "rate_kg_h": None, "wind_m_s": None,
            "mask_pixels": pixels,
        }  # fmt: skip


def _confusers(mask: np.ndarray, ch4: np.ndarray) -> Iterator[dict[str, Any]]:
    for row, col, _ in _parts(mask == FALSE_ENHANCEMENT, ch4):
        yield {"kind": "false enhancement", "row": row, "col": col}


def _parts(marked: np.ndarray, ch4: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(row, column of the strongest enhancement, pixels) of each connected part."""
    labels, _ = ndimage.label(marked, _TOUCHING)
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        inside = labels[window] == number
        values = np.where(inside, np.nan_to_num(ch4[window], nan=-np.inf), -np.inf)
        if np.isneginf(values).all():  # marked where nothing was measured: its first pixel
            values = inside.astype(np.float32)
        row, col = np.unravel_index(int(values.argmax()), values.shape)
        yield window[0].start + int(row), window[1].start + int(col), int(inside.sum())


def _retrieval(path: Path) -> str:
    """By the product's name: mag1c is sparse and never negative, (ch4)mf and cmf are linear."""
    stem = stem_of(path).lower()
    if "mag1c" in stem:
        return "sparse"
    return "linear" if re.search(r"(ch4mf|cmf)(_|$)", stem) else "unknown"


def _counted(skipped: dict[str, tuple[str, str]]) -> dict[str, int]:
    return dict(sorted(Counter(reason for reason, _ in skipped.values()).items()))
