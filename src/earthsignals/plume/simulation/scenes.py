"""Scenes: the folder of synthetic flightlines, whole or not there, the same bytes for any workers.

    <stem>.img, .hdr            bands as AVIRIS-NG products have them, -9999 outside the footprint
    <stem>_mask.img, .hdr       uint8: 1 plume, 2 false enhancement
    scenes.json                 the index, by `index.write_index`

Finished flightlines wait in a resume folder named by the hash of the parameters that shape them, each
with a note of its files' hashes; a killed run goes on from those that are whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthsignals.compute.mapping import ordered_map
from earthsignals.plume.imagery.envi import header_path, write_envi
from earthsignals.plume.imagery.index import Scene, SceneIndex, read_index, write_index
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.simulation.simulate import SimulatedScene, scene_stem, simulate_scene
from earthsignals.storage import EarthSignalsError, atomic_directory, md5_file, read_json, write_json

VERSION = 1
"""Of the simulation: raised with every change of what it draws, so that no old scene is taken for new."""

_SHAPING = ("scenes", "background", "surface", "emission", "tiles")
_NOTE = ".done.json"


def make_scenes(
    params: PlumeParams,
    out_folder: str | Path,
    workers: int | None = None,
    *,
    resume_root: str | Path = Path(".resume/plume-scenes"),
    executor: Any = None,
) -> SceneIndex:
    """Simulate every flightline of `params` into `out_folder`, which appears as a whole at the end.

    Args:
        workers: processes here; None does as the settings say (`workers`, `cluster`).
        resume_root: where finished flightlines wait for the others (ignored by git, no DVC output).
        executor: anything with `submit`, instead of own processes.

    The result does not depend on `workers`, on the order, or on how often the run was killed.
    """
    out_folder = Path(out_folder)
    folder = Path(resume_root) / rebuild_key(params)
    folder.mkdir(parents=True, exist_ok=True)
    spans = [(d, n) for d in range(params.scenes.days) for n in range(params.scenes.flightlines_per_day)]
    notes = list(
        ordered_map(
            _Maker(params, folder), spans, workers=workers, executor=executor,
            description="simulating flightlines", unit="flightlines",
        )
    )  # fmt: skip
    with atomic_directory(out_folder) as temporary:
        for note in notes:
            for name in note["files"]:
                _link(folder / name, temporary / name)
        write_index(temporary, SceneIndex("synthetic", tuple(_scene(note, temporary) for note in notes)))
    shutil.rmtree(folder)
    return read_index(out_folder)


def rebuild_key(params: PlumeParams) -> str:
    """Hash of all that shapes the scenes: their parameters and the version of the simulation."""
    kept = {name: getattr(params, name).model_dump(mode="json") for name in _SHAPING}
    # Of the tiles' parameters only those that deal days to splits matter here.
    kept["tiles"] = {name: kept["tiles"][name] for name in ("validation_fraction", "test_fraction", "seed")}
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(f"{VERSION}/{text}".encode()).hexdigest()[:16]


def write_scene(scene: SimulatedScene, folder: Path) -> dict[str, str]:
    """Write a scene's images into `folder`; returns the md5 of each file by name."""
    images = {
        "": (scene.bands, scene.band_names, "AVIRIS-NG-like matched filter, simulated"),
        "_mask": (scene.mask, ("0 none 1 plume 2 false enhancement",), "what is plume in the simulation"),
    }
    written = {}
    for suffix, (array, names, description) in images.items():
        path = folder / f"{scene.stem}{suffix}.img"
        write_envi(path, array, like=scene, band_names=names, description=description)
        for part in (path, header_path(path)):
            written[part.name] = md5_file(part)
    return written


@dataclass(frozen=True)
class _Maker:
    """Makes one flightline in the resume folder, or finds it there; returns its note."""

    params: PlumeParams
    folder: Path

    def __call__(self, which: tuple[int, int]) -> dict[str, Any]:
        note_path = self.folder / f"{scene_stem(self.params, *which)}{_NOTE}"
        note = _whole(note_path)
        if note is None:
            scene = simulate_scene(self.params, *which)
            note = {"record": scene.record, "files": write_scene(scene, self.folder)}
            write_json(note_path, note)
        return note


def _whole(note_path: Path) -> dict[str, Any] | None:
    """The note of a finished flightline whose files are still what it says; None: make it anew."""
    if not note_path.is_file():
        return None
    try:
        note = read_json(note_path)
        good = all(md5_file(note_path.parent / name) == md5 for name, md5 in note["files"].items())
    except (EarthSignalsError, OSError, KeyError, AttributeError):
        return None
    return note if good else None


def _scene(note: dict[str, Any], folder: Path) -> Scene:
    record = dict(note["record"])
    plumes, confusers = tuple(record.pop("plumes")), tuple(record.pop("confusers"))
    stem = record["stem"]
    return Scene(
        **record, path=folder / f"{stem}.img", mask=folder / f"{stem}_mask.img", plumes=plumes,
        confusers=confusers,
    )  # fmt: skip


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
