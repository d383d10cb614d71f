"""Evaluation: the network beside the classical baselines and its peers, on days that nobody has seen.

Tiles, pixels, plumes and rates, each with intervals over flightlines. Every threshold was frozen on the
validation days before a test day is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earthsignals import bootstrap
from earthsignals.plume.baselines import choose_for_tiles
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.dataset import TileFile
from earthsignals.plume.imagery.index import SceneIndex
from earthsignals.plume.judging import tile_scores
from earthsignals.plume.judging.evaluate_scenes import judge_scenes
from earthsignals.plume.judging.scores import best_f1_threshold
from earthsignals.plume.judging.tile_scores import Method, TileSet, scored, tile_set
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.saliency.devices import inference_devices
from earthsignals.storage import EarthSignalsError

BASELINES = ("threshold_area", "zscore")
BATCH = 256
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: nested metrics for JSON, and arrays by name for the figures."""

    metrics: dict[str, Any]
    arrays: Arrays


def evaluate(
    file: TileFile, index: SceneIndex, maps: Path, plumes: Mapping[str, Any], model: SaliencyModel,
    peers: Mapping[str, SaliencyModel], params: PlumeParams,
) -> Evaluation:  # fmt: skip
    """Judge all methods on the test split.

    Args:
        file: the tiles, of the model's window and of every peer's.
        index: the scenes; without any (tiles from a manifest) only tiles are judged.
        maps: folder of the saliency maps, by `maps.map_scenes`.
        plumes: its plumes.json.
        model: the main model, with its frozen threshold.
        peers: further models by name.

    Raises EarthSignalsError where the test split has no tile, or the plumes are of another model.
    """
    metrics, arrays = _judge_tiles(file, model, peers, params)
    metrics |= {"source": index.source, "left_out": _left_out(file, index)}
    if plumes["model_md5"] != model.md5:
        raise EarthSignalsError(
            f"{maps}: the maps were made by another model ({plumes['model_md5']}) than the one to judge "
            f"({model.md5}); run `dvc repro plume-saliency`"
        )
    mapped = {record["stem"] for record in plumes["scenes"]}
    absent = [scene.stem for scene in index.of("test") if scene.stem not in mapped]
    if absent:
        raise EarthSignalsError(
            f"{maps}: {len(absent)} test flightlines have no map, the first {absent[0]}; the scenes changed "
            "after the maps were made, so run `dvc repro plume-saliency`"
        )
    if index.of("test") and index.of("validation"):
        found, drawn_arrays = judge_scenes(index, maps, plumes, model, peers, params)
        metrics |= found
        metrics["frozen"] |= metrics.pop("frozen_pixels")
        arrays |= drawn_arrays
    return Evaluation(_headline(metrics), arrays)


# ---------------------------------------------------------------------------------------------- tiles
def _judge_tiles(
    file: TileFile, model: SaliencyModel, peers: Mapping[str, SaliencyModel], params: PlumeParams
) -> tuple[dict[str, Any], Arrays]:
    group = file.group(model.window)
    validation, test = tile_set(group, "validation"), tile_set(group, "test")
    if not len(test) or not test.label.any():
        raise EarthSignalsError(
            f"{file.path}: the test split has {len(test)} tiles, {int(test.label.sum())} with a plume; "
            "evaluation needs both kinds. Make more scenes (plume.scenes) and run `dvc repro plume-tiles`"
        )
    drawn = bootstrap.draws(
        test.flightlines, params.evaluate.bootstrap, params.evaluate.seed, "plume-bootstrap"
    )
    (area, area_f1), (z, z_f1) = choose_for_tiles(validation.chunks(), validation.label)
    probability = tile_probabilities(model, test, params.tiles.minimum_plume_pixels)
    methods = {
        "model": Method(probability, model.threshold),
        "threshold_area": Method(scored(area.tile_scores, test), area.area_px),
        "zscore": Method(scored(z.tile_scores, test), z.threshold),
    }
    judged = {name: tile_scores.judge(method, test, drawn) for name, method in methods.items()}
    arrays: Arrays = {}
    for name, method in methods.items():
        made = tile_scores.curves(method, test, drawn)
        arrays |= {f"curves/{name}/{key}": values for key, values in made.items()}
    for name, peer in peers.items():
        judged[name] = _judge_peer(file, peer, params)
    calibration, reliability = tile_scores.calibration_report(probability, test.label)
    arrays |= {f"reliability/{name}": values for name, values in reliability.items()}
    arrays |= {
        f"examples/{name}": values
        for name, values in tile_scores.examples(probability, test, model.threshold).items()
    }
    frozen = {
        "model": {"threshold": model.threshold, "temperature": model.temperature},
        "tiles": {
            "threshold_area": {"threshold_ppm_m": area.threshold_ppm_m, "area_px": area.area_px},
            "zscore": {"sigma_px": z.sigma_px, "threshold": z.threshold},
        },
        "validation_tile_f1": {"threshold_area": area_f1, "zscore": z_f1},
    }
    tiles = {"window": model.window, "test": test.counts(), "validation": validation.counts()}
    return {"tiles": tiles | {"methods": judged} | calibration, "frozen": frozen}, arrays


def _judge_peer(file: TileFile, peer: SaliencyModel, params: PlumeParams) -> dict[str, Any]:
    """On the test tiles of its own window. A U-Net's threshold is one of pixels, so tiles get their own."""
    group = file.group(peer.window)
    test, fewest = tile_set(group, "test"), params.tiles.minimum_plume_pixels
    threshold = peer.threshold
    if peer.architecture == "unet":
        validation = tile_set(group, "validation")
        threshold, _ = best_f1_threshold(tile_probabilities(peer, validation, fewest), validation.label)
    drawn = bootstrap.draws(
        test.flightlines, params.evaluate.bootstrap, params.evaluate.seed, "plume-bootstrap"
    )
    method = Method(tile_probabilities(peer, test, fewest), threshold)
    return tile_scores.judge(method, test, drawn) | {"window": peer.window}


@torch.inference_mode()
def tile_probabilities(model: SaliencyModel, tiles: TileSet, fewest: int = 1) -> np.ndarray:
    """Probability (N,) float64 that each tile holds a plume.

    Of a U-Net, which labels pixels, the probability that `fewest` of them reach: by definition a tile
    with so many plume pixels holds one.
    """
    device = inference_devices()[0]
    network = model.network.to(device).eval()

    def score(chunk: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(model.preprocessing.apply(chunk)).unsqueeze(1)
        logits = np.concatenate([network(part.to(device)).float().cpu().numpy() for part in x.split(BATCH)])
        if logits.ndim > 1:
            logits = np.sort(logits.reshape(len(logits), -1), axis=1)[:, -fewest]
        return model.probability(logits).astype(np.float64)

    found = scored(score, tiles)
    model.network.to("cpu")
    return found


# ---------------------------------------------------------------------------------------------- summary
def _left_out(file: TileFile, index: SceneIndex) -> dict[str, Any]:
    return {"tiles": file.counts.get("left_out", {}), "flightlines": dict(index.skipped)}


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """The figures that a reader looks for first, at the top level; None where there is nothing to judge."""
    tiles = metrics["tiles"]["methods"]
    best = tile_scores.best_of(tiles, [n for n in tiles if n in BASELINES or n.startswith("unet-")])
    pixels = metrics.get("pixels", {}).get("model", {})
    rates = metrics.get("rates", {})
    top: dict[str, Any] = {f"tile_f1{end}": tiles["model"][f"f1{end}"] for end in ("", "_low", "_high")}
    top |= {"tile_f1_best_baseline": tiles[best]["f1"] if best else None, "best_baseline": best}
    top |= {f"pixel_iou{end}": pixels.get(f"iou{end}") for end in ("", "_low", "_high")}
    for name in ("bias", "coverage_68", "coverage_95"):
        top |= {f"rate_{name}{end}": rates.get(f"{name}{end}") for end in ("", "_low", "_high")}
    return metrics | top
