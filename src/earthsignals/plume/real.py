"""Evaluation on real AVIRIS-NG data outside the repository, which nothing was trained on.

Chips in STARCOP's form (`<chip>/mag1c.tif` with `labelbinary.tif`), or flightlines with masks. Every method
works at the threshold that synthetic validation days froze; pixels of all chips are pooled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from earthsignals import figures as house
from earthsignals.compute.mapping import progress
from earthsignals.plume.baselines import ThresholdArea, ZScore
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.detection.detect import EIGHT, find_plumes
from earthsignals.plume.figures.flightline import chip as draw_chip
from earthsignals.plume.imagery.flightline import open_flightline, stem_of
from earthsignals.plume.imagery.ingest import find_chips
from earthsignals.plume.imagery.masks import PLUME, find_mask, read_mask
from earthsignals.plume.judging import scene_scores, scores
from earthsignals.plume.judging.matching import owners
from earthsignals.plume.judging.scene_scores import Judgement, Opinion
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.predict import map_scene
from earthsignals.storage import EarthSignalsError, md5_path

RADIANCE = "TOA_AVIRIS_*nm.tif"
ORACLE_PPM_M = np.arange(0.0, 6000.0, 20.0)


@dataclass(frozen=True)
class Chip:
    """A real image with its label: `ch4` (L, S) [ppm m], NaN outside the footprint; `truth` (L, S) bool."""

    name: str
    ch4: np.ndarray
    truth: np.ndarray
    pixel_m: float


def evaluate_real(
    source: str | Path, model: SaliencyModel, params: PlumeParams, frozen: Mapping[str, Any],
    figures: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Judge the model and both baselines on the real chips or flightlines below `source`.

    frozen: `frozen` of reports/plume/metrics.json. figures: a folder for one PNG and PDF per chip.

    Returns scores of pooled pixels per method, plumes found and false alarms, what was skipped, the data's
    content hash and the model's md5. Raises EarthSignalsError where `source` holds nothing labelled, or
    `frozen` has no thresholds of pixels or is of another model.
    """
    source = Path(source)
    area, z = _baselines(frozen, model)
    skipped: dict[str, int] = {}
    judged: dict[str, list[Judgement]] = {}
    names, km2, labelled = [], 0.0, 0
    seen = np.zeros((2, len(ORACLE_PPM_M)))
    paths = _images(source, skipped)
    with progress("judging real chips", len(paths), "chips") as bar:
        for path in paths:
            chip = read_chip(path, params)
            saliency = map_scene(chip.ch4, model)
            detections = find_plumes(chip.ch4, saliency, model.threshold, params.detection, chip.pixel_m)
            sigma = params.detection.smoothing_m / chip.pixel_m
            opinions = {
                "model": scene_scores.of_network(chip.ch4, detections, sigma, model.threshold),
                "threshold_area": scene_scores.of_threshold_area(chip.ch4, area),
                "zscore": scene_scores.of_z_score(chip.ch4, z),
            }
            for name, opinion in opinions.items():
                judged.setdefault(name, []).append(_judge(opinion, chip))
            seen += _enhancement_tally(chip)
            names.append(chip.name)
            km2 += float(np.isfinite(chip.ch4).sum()) * chip.pixel_m**2 / 1e6
            labelled += int(chip.truth.any())
            if figures is not None:
                _draw(chip, saliency, opinions["model"].called, figures)
            bar.advance()
    return {
        "data": source.name, "data_md5": md5_path(source), "model_md5": model.md5, "chips": names,
        "chips_with_plume": labelled, "skipped": skipped, "valid_km2": km2,
        "frozen": {name: dict(frozen[name]) for name in ("model", "pixels")},
        "plumes": len(np.concatenate([j.matches.best for j in judged["model"]])),
        "pixels": {name: _pixels(of_method) for name, of_method in judged.items()},
        "oracle_threshold": _oracle(seen),
        "detection": {name: _detection(of_method) for name, of_method in judged.items()},
    }  # fmt: skip


def read_chip(path: Path, params: PlumeParams) -> Chip:
    """A chip's folder, or a flightline with its mask beside it.

    STARCOP fills with zeros beyond the footprint, where radiance is zero too; within it a zero of mag1c is
    a measurement of no methane. So a chip's pixels are valid where some radiance is not zero; without
    radiance files, wherever the enhancement is.
    """
    file = path / "mag1c.tif" if path.is_dir() else path
    with open_flightline(file, params.preprocessing.band if file == path else None) as flightline:
        ch4, pixel_m = flightline.read(), flightline.pixel_m
    bands = sorted(path.glob(RADIANCE)) if path.is_dir() else []
    if bands:
        lit = np.zeros(ch4.shape, bool)
        for band in bands:
            with open_flightline(band) as raster:
                radiance = raster.read()
            if radiance.shape != ch4.shape:
                raise EarthSignalsError(
                    f"{band}: {radiance.shape[0]} × {radiance.shape[1]} pixels, expected the "
                    f"{ch4.shape[0]} × {ch4.shape[1]} of its mag1c.tif; copy the chip again"
                )
            lit |= np.isfinite(radiance) & (radiance != 0)
        ch4[~lit] = np.nan
    truth = read_mask(find_mask(file), ch4.shape) == PLUME
    return Chip(path.name if path.is_dir() else stem_of(path), ch4, truth & np.isfinite(ch4), pixel_m)


def _images(source: Path, skipped: dict[str, int]) -> list[Path]:
    """Folders of chips and flightlines with a mask below `source`; what has none is counted in `skipped`."""
    if not source.is_dir():
        raise EarthSignalsError(
            f"{source}: no such folder of real data; give the path of chips or flightlines, or set real_data "
            "in settings.yaml (EARTHSIGNALS_REAL_DATA)"
        )
    found = find_chips(source)
    for path in _flightlines(source):
        reason = None if find_mask(path) else "images without a mask"
        reason = reason if path.is_file() else "headers without their binary"
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
        else:
            found.append(path)
    if not found:
        told = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "nothing at all"
        raise EarthSignalsError(
            f"{source}: no labelled chip or flightline below it ({told}); expected <chip>/mag1c.tif with "
            "labelbinary.tif, or a flightline with <stem>_mask.png, .tif or .img beside it"
        )
    return found


def _flightlines(source: Path) -> Iterator[Path]:
    """Images by their form: what ENVI headers belong to, and `mag1c.tif` that lie without a label."""
    labelled = set(find_chips(source))
    for path in sorted(source.rglob("mag1c.tif")):
        if path.parent not in labelled:
            yield path
    for header in sorted(source.rglob("*.hdr")):
        stem = stem_of(header)
        if "_saliency" not in stem and not stem_of(stem).endswith("_mask"):
            image = header.with_name(f"{stem}.img")
            yield image if image.is_file() else header.with_name(stem)


def _baselines(frozen: Mapping[str, Any], model: SaliencyModel) -> tuple[ThresholdArea, ZScore]:
    try:
        pixels, threshold = frozen["pixels"], frozen["model"]["threshold"]
        area, z = ThresholdArea(**pixels["threshold_area"]), ZScore(**pixels["zscore"])
    except (KeyError, TypeError):
        raise EarthSignalsError(
            "reports/plume/metrics.json holds no frozen thresholds of pixels; evaluate on synthetic "
            "flightlines first (plume.source: synthetic, `dvc repro plume-evaluate`)"
        ) from None
    if not np.isclose(threshold, model.threshold):
        raise EarthSignalsError(
            f"reports/plume/metrics.json froze the threshold {threshold:.4f}, but {model.path} has "
            f"{model.threshold:.4f}: they are of different trainings; run `dvc repro plume-evaluate`"
        )
    return area, z


def _judge(opinion: Opinion, chip: Chip) -> Judgement:
    owner, sources = _pieces(chip)
    valid = np.isfinite(chip.ch4)
    return scene_scores.judge_scene(opinion, chip.truth, valid, owner, sources, chip.pixel_m)


def _pieces(chip: Chip) -> tuple[np.ndarray, np.ndarray]:
    """Each connected piece of the label as a plume, its strongest pixel for a source."""
    pieces, count = ndimage.label(chip.truth, EIGHT)
    at = ndimage.maximum_position(np.nan_to_num(chip.ch4), pieces, np.arange(1, count + 1)) if count else []
    sources = np.array(at, np.float64).reshape(-1, 2)
    return owners(chip.truth, sources, chip.pixel_m), sources


def _pixels(judged: list[Judgement]) -> dict[str, float | None]:
    """Scores of pooled pixels; None where nothing is labelled or found."""
    hits, false, misses = np.sum([j.pixels for j in judged], axis=0)
    positives, negatives = np.sum([j.tally for j in judged], axis=0)
    found = {
        "iou": scores.iou(hits, false, misses), "f1": scores.f1(hits, false, misses),
        "precision": scores.precision(hits, false), "recall": scores.recall(hits, misses),
        "auprc": scores.average_precision(positives, negatives),
    }  # fmt: skip
    return {name: float(value) if np.isfinite(value) else None for name, value in found.items()}


def _enhancement_tally(chip: Chip) -> np.ndarray:
    """Pixels (2, K) at or above each of ORACLE_PPM_M that are labelled, and that are not."""
    valid = np.isfinite(chip.ch4)
    return np.stack([
        [(chip.ch4[valid & where] >= edge).sum() for edge in ORACLE_PPM_M]
        for where in (chip.truth, ~chip.truth)
    ])  # fmt: skip


def _oracle(tally: np.ndarray) -> dict[str, float] | None:
    """What the best threshold on the enhancement scores if the labels choose it: no method has that."""
    hits, false = tally
    f1 = scores.f1(hits, false, hits[0] - hits)
    if not np.isfinite(f1).any():
        return None
    best = int(np.nanargmax(f1))
    return {"f1": float(f1[best]), "threshold_ppm_m": float(ORACLE_PPM_M[best])}


def _detection(judged: list[Judgement]) -> dict[str, int]:
    cut = judged[0].cut
    return {
        "found": int(scene_scores.detected(judged, cut).sum()),
        "false_alarms": int(sum((j.false_alarms >= cut).sum() for j in judged)),
    }


def _draw(chip: Chip, saliency: np.ndarray, found: np.ndarray, folder: Path) -> None:
    with house.style():
        house.save(
            draw_chip(chip.ch4, saliency, chip.truth, found, chip.pixel_m, chip.name), folder / chip.name
        )
