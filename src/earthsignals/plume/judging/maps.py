"""Maps and plumes of the flightlines that nothing was trained on: validation and test days.

    content = map_scenes(index, model, params, out, resume)

Per flightline a saliency map and its plumes (GeoPackage, GeoJSON); one `plumes.json` with all plumes, their
masses and rates. Where true rates are known, the rate's factor and model error are fitted on the
validation days first, so the test days are given what a user is given: calibrated rates.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earthsignals.compute.mapping import ordered_map
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.detection.detect import Detections, find_plumes
from earthsignals.plume.detection.emission import Wind, estimate_rates
from earthsignals.plume.detection.measure import PlumeScene, measure_scene, rows_of
from earthsignals.plume.detection.rate_error import FEWEST_TRUTHS, Calibration, calibrate_rate
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.judging.matching import label_map, match
from earthsignals.plume.judging.rate_scores import Pair, pairs, rate
from earthsignals.plume.judging.scene_scores import true_owners, true_plumes
from earthsignals.plume.params import DetectionParams, PlumeParams
from earthsignals.plume.predict import BATCH, saliency
from earthsignals.plume.publishing.publish import write_geojson, write_geopackage
from earthsignals.storage import write_json

NAME = "plumes.json"
SPLITS = ("validation", "test")
SELF_CHECK = 20
"""Pixels per flightline that are computed again by sliding window."""
_NOTHING = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class MappedScene:
    """A flightline, its map and its plumes: `ch4` (L, S) [ppm m] and `saliency` (L, S), NaN where invalid."""

    scene: Scene
    ch4: np.ndarray
    saliency: np.ndarray
    detections: Detections


def map_scenes(
    index: SceneIndex, model: SaliencyModel, params: PlumeParams, out: Path, resume: Path, *,
    devices: Sequence[int] | None = None, batch: int = BATCH,
) -> dict[str, Any]:  # fmt: skip
    """Map all validation and test flightlines of `index` into the folder `out`; returns what NAME holds.

    resume: an untracked folder that keeps finished maps of this model and these flightlines, so that a kill
    costs one flightline. An index without flightlines (tiles from a manifest) gives an empty list. On a
    cluster (setting `cluster`) each worker maps whole flightlines, on its own device.

    Raises EarthSignalsError where a map fails its self-check or a flightline cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    scenes = [scene for split in SPLITS for scene in index.of(split)]
    measured: list[PlumeScene] = []
    known: list[Pair] = []
    mapper = _Mapper(model, params.detection, out, resume, devices, batch, torch.get_num_threads())
    for found, pairs_of_scene in ordered_map(
        mapper, list(enumerate(scenes)), description="mapping flightlines", unit="pixels",
        sizes=[scene.lines * scene.samples for scene in scenes], inline=True,
    ):  # fmt: skip
        measured.append(found)
        known += pairs_of_scene
    calibration, why = _calibrate(known)
    records = []
    for scene, found in zip(scenes, measured, strict=True):
        rates = [estimate_rates(mass, found.winds, params.detection, calibration) for mass in found.masses]
        found = replace(found, rates=tuple(tuple(each) for each in rates))
        _publish(found, out)
        records.append(_record(scene, found))
    content = {
        "model_md5": model.md5, "threshold": model.threshold, "scenes": records,
        "calibration": {**calibration._asdict(), "plumes": len(known), "reason": why},
    }  # fmt: skip
    write_json(out / NAME, content)
    return content


def read_mapped(scene: Scene, path: Path, model: SaliencyModel, detection: DetectionParams) -> MappedScene:
    """Read a flightline and its map, and find its plumes, without the wind's direction (see `_measure`)."""
    with scene.open(model.preprocessing.band) as flightline, open_flightline(path) as map_:
        ch4, probability = flightline.read(), map_.read()
    found = find_plumes(ch4, probability, model.threshold, detection, scene.pixel_m)
    return MappedScene(scene, ch4, probability, found)


def map_path(folder: Path, scene: Scene) -> Path:
    """Where the map of a scene lies in the folder of maps."""
    return folder / f"{scene.stem}_saliency.img"


@dataclass(frozen=True)
class _Mapper:
    """Maps and measures one numbered scene; gives its plumes and, on validation days, the known ones."""

    model: SaliencyModel
    detection: DetectionParams
    out: Path
    resume: Path
    devices: Sequence[int] | None
    batch: int
    threads: int
    """Of torch: sums depend on it, so a cluster's workers use as many as this process does."""

    def __call__(self, task: tuple[int, Scene]) -> tuple[PlumeScene, list[Pair]]:
        number, scene = task
        torch.set_num_threads(self.threads)
        path = _map(scene, self.model, self.out, self.resume, self.devices, self.batch)
        found = _measure(scene, path, self.model, self.detection)
        return found, _known_pairs(scene, found, number) if scene.split == "validation" else []


def _map(
    scene: Scene, model: SaliencyModel, out: Path, resume: Path, devices: Sequence[int] | None, batch: int
) -> Path:
    """Make the map in a folder of its own under `resume`, unless it lies there, and link it into `out`."""
    checked = 0 if model.architecture == "unet" else SELF_CHECK  # a U-Net has no window to slide
    made = saliency(
        scene.path, model, resume / scene.stem, devices=devices, batch=batch, self_check=checked, log=False
    )
    target = map_path(out, scene)
    for suffix in (".img", ".hdr"):
        _link(made.with_suffix(suffix), target.with_suffix(suffix))
    return target


def _link(path: Path, target: Path) -> None:
    """A hard link where the file system has them: the map is there twice and takes room once."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _measure(scene: Scene, path: Path, model: SaliencyModel, detection: DetectionParams) -> PlumeScene:
    """Plumes and their masses under the scene's wind speed, without the images they were read from.

    The wind's direction is not used, even where the simulation knows it: few users do, and the rates'
    calibration must hold for them.
    """
    with scene.open(model.preprocessing.band) as flightline, open_flightline(path) as map_:
        found = measure_scene(
            scene.stem, flightline.read(), map_.read(), model.threshold, detection, scene.pixel_m,
            winds=[Wind(scene.wind_m_s)],
            transform=flightline.transform, crs=flightline.crs, model_md5=model.md5,
        )  # fmt: skip
    return replace(found, ch4=_NOTHING, saliency=_NOTHING)


def _publish(found: PlumeScene, out: Path) -> None:
    write_geopackage(out / f"{found.stem}_plumes.gpkg", found)
    if found.crs is not None:
        write_geojson(out / f"{found.stem}_plumes.geojson", found)


def _record(scene: Scene, found: PlumeScene) -> dict[str, Any]:
    return {
        "stem": scene.stem, "day": scene.day, "split": scene.split, "pixel_m": scene.pixel_m,
        "wind_m_s": scene.wind_m_s, "rejected": found.detections.rejected, "plumes": rows_of(found),
    }  # fmt: skip


def _known_pairs(scene: Scene, found: PlumeScene, number: int) -> list[Pair]:
    """Found plumes of one scene that are one true plume of known rate."""
    truth = scene.read_mask() == 1
    owner, sources = true_owners(scene, truth)
    plumes = true_plumes([scene])
    labels = label_map(found.detections.plumes, truth.shape)
    matches = match(labels, np.ones(len(found.masses)), owner, sources, scene.pixel_m)
    return pairs(rows_of(found), matches, plumes.rate_kg_h, plumes.wind_m_s, number)[0]


def _calibrate(known: Sequence[Pair]) -> tuple[Calibration, str | None]:
    """Fitted with the true wind, so that the model error holds no share of the wind's."""
    if len(known) < FEWEST_TRUTHS:
        return Calibration(), (
            f"{len(known)} found validation plumes have a known rate, {FEWEST_TRUTHS} are needed"
        )
    estimates = [rate(pair, pair.wind_m_s, 0.0, Calibration()) for pair in known]
    return calibrate_rate(estimates, [pair.rate_kg_h for pair in known]), None
