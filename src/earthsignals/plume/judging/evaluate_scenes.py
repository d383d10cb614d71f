"""Judging whole flightlines: every method's pixels, plumes and false alarms, and the network's rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals import bootstrap
from earthsignals.compute.mapping import progress
from earthsignals.plume.baselines import ThresholdArea, ZScore, choose_for_pixels
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.detection.rate_error import Calibration
from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.judging import scene_scores
from earthsignals.plume.judging.maps import MappedScene, map_path, read_mapped
from earthsignals.plume.judging.rate_scores import Pair, judge_rates, pairs
from earthsignals.plume.judging.scene_scores import Judgement, Opinion, TruePlumes
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.predict import map_scene

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Judge:
    """The methods that see whole scenes, with what validation froze for each."""

    model: SaliencyModel
    maps: Path
    params: PlumeParams
    area: ThresholdArea
    z: ZScore
    segmenters: Mapping[str, SaliencyModel]

    def opinions(self, mapped: MappedScene) -> Iterator[tuple[str, Opinion]]:
        sigma = self.params.detection.smoothing_m / mapped.scene.pixel_m
        yield "model", scene_scores.of_network(mapped.ch4, mapped.detections, sigma, self.model.threshold)
        yield "threshold_area", scene_scores.of_threshold_area(mapped.ch4, self.area)
        yield "zscore", scene_scores.of_z_score(mapped.ch4, self.z)
        for name, peer in self.segmenters.items():
            yield name, scene_scores.of_segmentation(map_scene(mapped.ch4, peer), peer.threshold)


def judge_scenes(
    index: SceneIndex, maps: Path, plumes: Mapping[str, Any], model: SaliencyModel,
    peers: Mapping[str, SaliencyModel], params: PlumeParams,
) -> tuple[dict[str, Any], Arrays]:  # fmt: skip
    """Metrics of pixels, plumes and rates on the test flightlines, and arrays for the figures.

    Arguments as in `evaluate.evaluate`. Thresholds of the baselines are chosen on validation flightlines.
    """
    scenes = index.of("test")
    (area, area_f1), (z, z_f1) = choose_for_pixels(
        _truths(index.of("validation"), model, "choosing thresholds")
    )
    segmenters = {name: peer for name, peer in peers.items() if peer.architecture == "unet"}
    judge = Judge(model, maps, params, area, z, segmenters)
    judged: dict[str, list[Judgement]] = {}
    km2, rated, without_rate = [], [], {}
    truths = scene_scores.true_plumes(scenes)
    records = {record["stem"]: record for record in plumes["scenes"]}
    shown: tuple[float, Arrays] = (-1.0, {})
    with progress("judging flightlines", len(scenes), "flightlines") as bar:
        for number, scene in enumerate(scenes):
            mapped = read_mapped(scene, map_path(maps, scene), model, params.detection)
            truth, valid = scene.read_mask() == 1, np.isfinite(mapped.ch4)
            owner, sources = scene_scores.true_owners(scene, truth)
            for name, opinion in judge.opinions(mapped):
                judged.setdefault(name, []).append(
                    scene_scores.judge_scene(opinion, truth, valid, owner, sources, scene.pixel_m)
                )
            km2.append(float(valid.sum()) * scene.pixel_m**2 / 1e6)
            of_scene = truths.scene == number
            made, left_out = pairs(
                records[scene.stem]["plumes"], judged["model"][-1].matches, truths.rate_kg_h[of_scene],
                truths.wind_m_s[of_scene], number,
            )  # fmt: skip
            rated += made
            without_rate = {reason: without_rate.get(reason, 0) + n for reason, n in left_out.items()}
            shown = max(shown, _picture(mapped, truth, judged["model"][-1]), key=lambda item: item[0])
            bar.advance()
    drawn = bootstrap.draws(len(scenes), params.evaluate.bootstrap, params.evaluate.seed, "plume-bootstrap")
    frozen = {
        "pixels": {
            "threshold_area": {"threshold_ppm_m": area.threshold_ppm_m, "area_px": area.area_px},
            "zscore": {"sigma_px": z.sigma_px, "threshold": z.threshold},
            **{name: {"threshold": peer.threshold} for name, peer in segmenters.items()},
        },
        "validation_pixel_f1": {"threshold_area": area_f1, "zscore": z_f1},
    }
    metrics = {
        "pixels": {name: scene_scores.pixel_report(of, drawn) for name, of in judged.items()},
        "frozen_pixels": frozen,
    }
    metrics["plumes"], arrays = _plume_level(judged, truths, np.array(km2), drawn, params)
    metrics["rates"], rate_arrays = _rate_level(rated, plumes["calibration"], without_rate, drawn, params)
    arrays |= {f"rates/{name}": values for name, values in rate_arrays.items()}
    return metrics, arrays | {f"flightline/{name}": values for name, values in shown[1].items()}


def _plume_level(
    judged: Mapping[str, Sequence[Judgement]], truths: TruePlumes, km2: np.ndarray, drawn: np.ndarray,
    params: PlumeParams,
) -> tuple[dict[str, Any], Arrays]:  # fmt: skip
    """Each method at its frozen cut; all but the model also where they raise as many false alarms as it."""
    report: dict[str, Any] = {}
    arrays: Arrays = {
        "plumes/rate_kg_h": truths.rate_kg_h, "plumes/wind_m_s": truths.wind_m_s,
        "plumes/scene": truths.scene,
    }  # fmt: skip
    grid = np.geomspace(params.emission.rate_kg_h.low, params.emission.rate_kg_h.high, 80)
    wind = float(np.nanmedian(truths.wind_m_s)) if np.isfinite(truths.wind_m_s).any() else np.nan
    for name, of_method in judged.items():
        cut = of_method[0].cut
        report[name], curve = scene_scores.plume_report(of_method, cut, truths, km2, drawn)
        if name != "model":
            cut = scene_scores.equal_false_alarms(of_method, report["model"]["false_alarms"])
            report[name]["at_equal_false_alarms"], curve = scene_scores.plume_report(
                of_method, cut, truths, km2, drawn
            )
        arrays[f"plumes/{name}/found"] = scene_scores.detected(of_method, cut)
        alarms, share = scene_scores.free_response(of_method, float(km2.sum()))
        arrays |= {f"plumes/{name}/alarms_per_km2": alarms, f"plumes/{name}/detected_share": share}
        if curve is not None and np.isfinite(wind):
            value, each = curve.probability(grid, wind)
            arrays[f"plumes/{name}/curve"] = np.stack([value, *bootstrap.interval(each)])
            arrays |= {"plumes/grid_kg_h": grid, "plumes/grid_wind_m_s": np.array(wind)}
    return report, arrays


def _rate_level(
    rated: Sequence[Pair], calibration: Mapping[str, Any], without_rate: Mapping[str, int], drawn: np.ndarray,
    params: PlumeParams,
) -> tuple[dict[str, Any], Arrays]:  # fmt: skip
    fitted = Calibration(calibration["scale"], calibration["model_error"])
    report, arrays = judge_rates(rated, fitted, params.detection.wind_error, drawn, params.evaluate.seed)
    fit = {"calibration_plumes": calibration["plumes"], "uncalibrated_because": calibration["reason"]}
    return report | fit | {"without_rate": dict(without_rate)}, arrays


def _truths(
    scenes: Sequence[Scene], model: SaliencyModel, what: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with progress(what, len(scenes), "flightlines") as bar:
        for scene in scenes:
            with scene.open(model.preprocessing.band) as flightline:
                yield flightline.read(), scene.read_mask() == 1
            bar.advance()


def _picture(mapped: MappedScene, truth: np.ndarray, judged: Judgement) -> tuple[float, Arrays]:
    """How well a scene shows both plumes and confusers, and what the figure of a flightline needs of it."""
    scene = mapped.scene
    found = int(np.isfinite(judged.matches.best).sum())
    worth = min(found, 4) + min(len(scene.confusers), 8) / 16 + float(mapped.ch4.size > 0)
    labels = scene_scores.label_map(mapped.detections.plumes, mapped.ch4.shape)
    at = [[p["row"], p["col"]] for p in scene.plumes]
    confusers = [[c["row"], c["col"]] for c in scene.confusers]
    return worth, {
        "ch4": mapped.ch4, "saliency": mapped.saliency, "truth": truth, "found": labels > 0,
        "pixel_m": np.array(scene.pixel_m), "threshold": np.array(judged.cut),
        "sources": np.array(at, np.float64).reshape(-1, 2),
        "confusers": np.array(confusers, np.float64).reshape(-1, 2),
        "stem": np.bytes_(scene.stem.encode()),
    }  # fmt: skip
