"""Scene-level judgement: plume pixels, found plumes and false alarms, every method on the same flightlines.

Each method gives a scene three things: the pixels it calls plume, a score per pixel that ranks them all, and
found objects with scores. Methods that first decide by region (a salient region, a blob large enough) and
then by pixel rank every pixel of an admitted region above every other, and by enhancement among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from earthsignals import bootstrap
from earthsignals.plume.baselines import ThresholdArea, ZScore, median_filtered, z_score
from earthsignals.plume.detection.detect import EIGHT, Detections, plume_mask
from earthsignals.plume.imagery.index import Scene
from earthsignals.plume.judging import scores
from earthsignals.plume.judging.matching import Matches, label_map, match, owners
from earthsignals.plume.judging.sensitivity import DetectionCurve, fit_detection, shares_by_wind

EDGES = np.linspace(0.0, 1.0, 2001)
"""Of pixel scores, which lie in [0, 1]."""
WINDS_M_S = (2.0, 4.0, 6.0)
Z_RANGE, PPM_M_RANGE = (-2.0, 18.0), (0.0, 4000.0)


@dataclass(frozen=True)
class Opinion:
    """What one method says of a scene: plume pixels, pixel scores in [0, 1], objects (labels from 1, scores).

    An object counts at score >= `cut`.
    """

    called: np.ndarray
    pixel_score: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    cut: float


@dataclass(frozen=True)
class Judgement:
    """One method on one scene.

    `pixels` (3,): hits, false alarms, misses. `tally` (2, K): positives and negatives by falling pixel score.
    `matches`: true plumes and what hit them. `false_alarms`: scores of objects that hit none.
    """

    pixels: np.ndarray
    tally: np.ndarray
    matches: Matches
    false_alarms: np.ndarray
    cut: float


def of_network(ch4: np.ndarray, detections: Detections, sigma_px: float, threshold: float) -> Opinion:
    """The network's: its plumes; pixels rank by z, those of salient regions above all others."""
    z = scaled(z_score(ch4, sigma_px), *Z_RANGE)
    labels = label_map(detections.plumes, ch4.shape)
    score = np.array([plume.score for plume in detections], np.float64)
    return Opinion(plume_mask(detections, ch4.shape), tiered(z, detections.salient), labels, score, threshold)


def of_threshold_area(ch4: np.ndarray, baseline: ThresholdArea) -> Opinion:
    """Threshold and area: blobs by size; pixels rank by enhancement, those of large blobs first."""
    labels, areas = baseline.blobs(ch4)
    passes = np.r_[False, areas >= baseline.area_px][labels]
    value = scaled(median_filtered(ch4), *PPM_M_RANGE)
    return Opinion(passes, tiered(value, passes), labels, areas.astype(np.float64), float(baseline.area_px))


def of_z_score(ch4: np.ndarray, baseline: ZScore) -> Opinion:
    """z-score: pixels by z; objects are connected pixels over the threshold, by their largest z."""
    z = np.nan_to_num(baseline.z(ch4), nan=-np.inf)
    return _connected(z, scaled(z, *Z_RANGE), baseline.threshold)


def of_segmentation(probability: np.ndarray, threshold: float) -> Opinion:
    """A segmentation network: pixels by probability; objects are connected pixels over its threshold."""
    probability = np.nan_to_num(probability)
    return _connected(probability, probability, threshold)


def _connected(values: np.ndarray, pixel_score: np.ndarray, threshold: float) -> Opinion:
    called = values >= threshold
    labels, count = ndimage.label(called, EIGHT)
    best = ndimage.maximum(values, labels, np.arange(1, count + 1)) if count else np.zeros(0)
    return Opinion(called, pixel_score, labels, np.asarray(best, np.float64), threshold)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values to [0, 1] float32, clipped; NaN and -inf to 0."""
    return np.nan_to_num((np.clip(values, low, high) - low) / (high - low)).astype(np.float32)


def tiered(values: np.ndarray, admitted: np.ndarray) -> np.ndarray:
    """Values in [0, 1] to [0, 1], those of admitted pixels above all others."""
    return 0.5 * (values + admitted)


def true_owners(scene: Scene, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner map (L, S) of a scene's true plumes and their sources (P, 2) [px]."""
    sources = np.array([[p["row"], p["col"]] for p in scene.plumes], np.float64).reshape(-1, 2)
    return owners(truth, sources, scene.pixel_m, scene.wind_direction_deg), sources


def judge_scene(
    opinion: Opinion,
    truth: np.ndarray,
    valid: np.ndarray,
    owner: np.ndarray,
    sources: np.ndarray,
    pixel_m: float,
) -> Judgement:
    """Hold one method's opinion of a scene against its truth; invalid pixels do not count."""
    called, real = opinion.called & valid, truth & valid
    hits = int((called & real).sum())
    pixels = np.array([hits, int(called.sum()) - hits, int(real.sum()) - hits], np.float64)
    tally = np.stack(scores.tally_pixels(opinion.pixel_score[valid], truth[valid], EDGES))
    matches = match(opinion.labels, opinion.scores, owner, sources, pixel_m)
    return Judgement(pixels, tally, matches, opinion.scores[matches.plumes_of == 0], opinion.cut)


def pixel_report(judged: Sequence[Judgement], drawn: np.ndarray) -> dict[str, float | None]:
    """IoU, F1, precision, recall and AUPRC of pooled pixels, with intervals over flightlines."""
    counts = np.stack([j.pixels for j in judged])
    found: dict[str, float | None] = {}
    for name, statistic in (("iou", scores.iou), ("f1", scores.f1)):
        found |= bootstrap.of_sums(
            name, lambda c, s=statistic: s(c[..., 0], c[..., 1], c[..., 2]), counts, drawn
        )
    found |= bootstrap.of_sums("precision", lambda c: scores.precision(c[..., 0], c[..., 1]), counts, drawn)
    found |= bootstrap.of_sums("recall", lambda c: scores.recall(c[..., 0], c[..., 2]), counts, drawn)
    tallies = np.stack([j.tally.ravel() for j in judged])
    bins = len(EDGES) - 1
    return found | bootstrap.of_sums(
        "auprc", lambda t: scores.average_precision(t[..., :bins], t[..., bins:]), tallies, drawn
    )


@dataclass(frozen=True)
class TruePlumes:
    """The true plumes (P,) of all scenes: rate [kg/h] and wind [m/s], NaN where unknown, and scene number."""

    rate_kg_h: np.ndarray
    wind_m_s: np.ndarray
    scene: np.ndarray


def true_plumes(scenes: Sequence[Scene]) -> TruePlumes:
    """All true plumes of the scenes, in their order."""
    rows = [
        (_known(plume.get("rate_kg_h")), _known(plume.get("wind_m_s") or scene.wind_m_s), number)
        for number, scene in enumerate(scenes)
        for plume in scene.plumes
    ]
    rate, wind, number = np.array(rows, np.float64).reshape(-1, 3).T
    return TruePlumes(rate, wind, number.astype(int))


def equal_false_alarms(judged: Sequence[Judgement], most: int) -> float:
    """The lowest cut at which a method raises at most `most` false alarms in all scenes."""
    raised = np.sort(np.concatenate([j.false_alarms for j in judged]))[::-1]
    return -np.inf if len(raised) <= most else float(np.nextafter(raised[most], np.inf))


def plume_report(
    judged: Sequence[Judgement], cut: float, plumes: TruePlumes, km2: np.ndarray, drawn: np.ndarray
) -> tuple[dict[str, Any], DetectionCurve | None]:
    """Detection and false alarms of one method at one cut.

    km2: valid area (S,) of each scene. Returns the report and the curve over rate and wind, None where rates
    are not known.
    """
    found = detected(judged, cut)
    alarms = np.array([(j.false_alarms >= cut).sum() for j in judged], np.float64)
    per_scene = np.stack(
        [np.bincount(plumes.scene, found, len(judged)), np.bincount(plumes.scene, minlength=len(judged)),
         alarms, km2], axis=1,
    )  # fmt: skip
    report: dict[str, Any] = {
        "plumes": len(found), "detected": int(found.sum()), "false_alarms": int(alarms.sum()),
        "area_km2": float(km2.sum()), "cut": bootstrap.number(cut),
    }  # fmt: skip
    report |= bootstrap.of_sums(
        "detected_share", lambda c: scores.ratio(c[..., 0], c[..., 1]), per_scene, drawn
    )
    report |= bootstrap.of_sums(
        "false_alarms_per_km2", lambda c: scores.ratio(c[..., 2], c[..., 3]), per_scene, drawn
    )
    known = np.isfinite(plumes.rate_kg_h) & np.isfinite(plumes.wind_m_s)
    curve = fit_detection(
        plumes.rate_kg_h[known], plumes.wind_m_s[known], found[known], plumes.scene[known], drawn
    )
    report["by_wind"] = shares_by_wind(plumes.wind_m_s[known], found[known])
    return report | {"without_rate": int((~known).sum()), "rates": _detection_rates(curve)}, curve


def detected(judged: Sequence[Judgement], cut: float) -> np.ndarray:
    """Which true plumes (P,) of all scenes some object with score >= cut hit; bool."""
    return np.concatenate([j.matches.best for j in judged]) >= max(cut, -1e300)


def free_response(judged: Sequence[Judgement], km2: float) -> tuple[np.ndarray, np.ndarray]:
    """Free-response curve: false alarms per km2 (K,) and share of plumes detected (K,), as the cut falls."""
    raised = np.concatenate([j.false_alarms for j in judged])
    best = np.concatenate([j.matches.best for j in judged])
    cuts = np.unique(np.concatenate([raised, best[np.isfinite(best)]]))[::-1]
    alarms = len(raised) - np.searchsorted(np.sort(raised), cuts, side="left")
    hits = len(best) - np.searchsorted(np.sort(best), cuts, side="left")
    return np.r_[0.0, alarms / km2], np.r_[0.0, hits / max(len(best), 1)]


def _detection_rates(curve: DetectionCurve | None) -> list[dict[str, float | None]]:
    """Rates [kg/h] that are found half and nine times of ten, for each of WINDS_M_S, with intervals."""
    rows = []
    for wind in WINDS_M_S if curve else ():
        row: dict[str, float | None] = {"wind_m_s": wind}
        for name, probability in (("kg_h_50", 0.5), ("kg_h_90", 0.9)):
            rate, each = curve.rate_at(probability, wind)
            low, high = bootstrap.interval(each)
            row |= {name: bootstrap.number(rate)}
            row |= {f"{name}_low": bootstrap.number(low), f"{name}_high": bootstrap.number(high)}
        rows.append(row)
    return rows


def _known(value: float | None) -> float:
    return np.nan if value is None else float(value)
