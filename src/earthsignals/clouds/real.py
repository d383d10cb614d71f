"""Evaluation on real scenes outside the repository, which nothing was trained on.

Pictures whose patterns people outlined (Rasp et al. 2020, BAMS 101: sugar, flower, fish, gravel) are brought
onto planes like those of the training tiles and cut. For the model and every baseline alike, a linear probe
learns the classes on all scenes but one and is judged on that one; retrieval across scenes learns nothing.
Satellite files in the same folder are read and embedded as the pipeline would, to show that they can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.bootstrap import Groups, named, number
from earthsignals.clouds import across_scenes, baselines
from earthsignals.clouds.across_scenes import Examples
from earthsignals.clouds.evaluate import check_grid
from earthsignals.clouds.human_labels import Box, Labelled, read_boxes, regions, tiles_in_boxes
from earthsignals.clouds.imagery.pictures import PICTURES, picture_frame, read_picture
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.ingest_trial import try_ingest
from earthsignals.clouds.params import CloudsParams, GridParams
from earthsignals.clouds.tiles.cutting import cut
from earthsignals.compute.device import choose_device
from earthsignals.compute.mapping import ordered_map, progress
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_path, write_json

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel
    from earthsignals.clouds.tiles.tilefile import Triplets

LABELS = "boxes.csv"
MOST_FIT_TILES = 2000
MOST_RELABELLINGS = 500
"""Of labels among regions, for the P value."""


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles (N, 3, P, P) uint8 in people's rectangles, and what was left out, by reason."""

    images: np.ndarray
    examples: Examples
    boxes: list[Box]
    refused: Counter[str]
    dropped: Counter[str]


def evaluate_real(
    path: str | Path, triplets: Triplets, model: EmbeddingModel, params: CloudsParams, settings: Settings,
    out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Judge the model on the labelled pictures below `path` and write the metrics to `out` (JSON).

    triplets: what the model was trained on; baselines that learn anything learn it from its training anchors.

    Keys: `probe` and `map` (each with _low, _high and, by chance, _chance), `probe_best_baseline`,
    `map_best_baseline`, `probe_minus_best_baseline`, `probe_p` (share of the labels' relabellings that do as
    well), `probe_class_mean`, `probe_majority` (the score of always naming the commonest class), `rows` (by
    name of the method), `by_box`, numbers of `scenes`, `boxes`, `regions` and `tiles`, `classes`,
    `classes_in_one_scene`, `dropped`, `refused`, `ingest`, `says`, `data`, `data_md5`, `model_md5`.

    Raises EarthSignalsError where the folder or its labels are missing, or hold no class that is in two
    scenes.
    """
    from earthsignals.clouds.embedding import embed_tiles

    def embed(tiles: np.ndarray) -> np.ndarray:
        return embed_tiles(model, tiles)

    path = Path(path)
    check_grid(triplets, model)
    model.network.to(choose_device(settings.device))
    labelled = read_labelled(path, model.grid)
    shared = across_scenes.classes_of_several_scenes(labelled.examples.label, labelled.examples.scene)
    learnable = np.isin(labelled.examples.label, shared)
    if len(shared) < 2:
        raise EarthSignalsError(
            f"{path}: {', '.join(shared) or 'none'} of its classes is in two scenes or more, expected two "
            "such classes: what is in one scene alone cannot be learnt on the others; add labelled scenes"
        )
    features = {"model": embed(labelled.images)} | _baselines(triplets, labelled.images, params)
    metrics = judge(labelled.examples.of_boxes(learnable), features, params)
    alone = Counter(labelled.examples.label[~learnable].tolist())
    metrics |= {
        "classes": shared, "classes_in_one_scene": dict(sorted(alone.items())),
        "dropped": dict(sorted(labelled.dropped.items())), "refused": dict(sorted(labelled.refused.items())),
        "ingest": try_ingest(path, params, embed),
        "data": path.name, "data_md5": md5_path(path), "model_md5": model.md5,
    }  # fmt: skip
    write_json(out, metrics)
    return metrics


# ------------------------------------------------------------------------------------------ labelled tiles
def read_labelled(path: Path, grid: GridParams) -> LabelledTiles:
    """All tiles in the rectangles of the one `boxes.csv` below `path`, half a tile apart.

    Raises EarthSignalsError where there is none or several, or no tile lies in any rectangle.
    """
    if not path.is_dir():
        raise EarthSignalsError(
            f"{path}: no such folder of real data; give the path of a folder with {LABELS} and its pictures, "
            "or set real_data in settings.yaml (EARTHSIGNALS_REAL_DATA)"
        )
    tables = sorted(path.rglob(LABELS))
    if len(tables) != 1:
        raise EarthSignalsError(
            f"{path}: {len(tables)} files are called {LABELS}, expected one, beside its pictures"
        )
    boxes, refused = read_boxes(tables[0])
    images: list[np.ndarray] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    dropped: Counter[str] = Counter()
    names = sorted({box.image for box in boxes})
    with progress("reading labelled scenes", len(names), "scenes") as bar:
        for name in names:
            of_picture = np.array([number for number, box in enumerate(boxes) if box.image == name])
            try:
                tiles, found = _of_picture(
                    tables[0].parent / name, [boxes[number] for number in of_picture], grid
                )
            except RefusedScene as refusal:
                refused[f"picture {refusal.reason}"] += 1
            else:
                parts.append((found.tile + len(images), of_picture[found.box]))
                images += list(tiles)
                dropped += found.dropped
            bar.advance()
    return _gathered(path, images, parts, boxes, refused, dropped)


def _of_picture(picture: Path, boxes: list[Box], grid: GridParams) -> tuple[np.ndarray, Labelled]:
    if not picture.is_file():
        raise RefusedScene(picture, "missing", "no such file; put the picture beside its labels")
    if picture.suffix.lower() not in PICTURES:
        raise RefusedScene(picture, "unreadable", f"expected a picture ({', '.join(PICTURES)})")
    scene = read_picture(picture, grid.pixel_km)
    longitude, latitude = scene.plane.lonlat()
    x, y = picture_frame(picture).locate(latitude, longitude)
    found = tiles_in_boxes(boxes, x, y, scene.valid, grid.tile_px, grid.tile_px // 2)
    return cut(scene, np.stack([found.row, found.column], axis=1), grid.tile_px).tiles, found


def _gathered(
    path: Path, images: list[np.ndarray], parts: list[tuple[np.ndarray, np.ndarray]], boxes: list[Box],
    refused: Counter[str], dropped: Counter[str],
) -> LabelledTiles:  # fmt: skip
    if not images:
        told = ", ".join(f"{reason} {count}" for reason, count in sorted((refused + dropped).items()))
        raise EarthSignalsError(
            f"{path}: no tile lies in any of its {len(boxes)} rectangles ({told or 'none large enough'}); "
            "rectangles must be about as large as a tile (clouds.grid.tile_km)"
        )
    tile, box = (np.concatenate(column) for column in zip(*parts, strict=True))
    all_boxes = Examples(
        tile, box, np.array([b.label for b in boxes]), np.array([b.image for b in boxes]), regions(boxes)
    )
    used = np.bincount(box, minlength=len(boxes)) > 0
    dropped["boxes without a tile"] = int((~used).sum())
    return LabelledTiles(
        np.stack(images), all_boxes.of_boxes(used),
        [b for b, is_used in zip(boxes, used, strict=True) if is_used], refused, +dropped,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- judging
@dataclass(frozen=True)
class Row:
    """Of one method by rectangle (B,): share of tiles that the probe tells right, average precision, that of
    a random order; and its score (n,) for each dealing of the labels, the true one first."""

    shares: np.ndarray
    precision: np.ndarray
    chance: np.ndarray
    dealt: np.ndarray


def judge(examples: Examples, features: Mapping[str, np.ndarray], params: CloudsParams) -> dict[str, Any]:
    """Metrics of every method from its features (N, F) by name; `model` is the one that is judged.

    All methods meet the same resamples and the same relabellings. Resampled are regions: rectangles that
    outline the same clouds stand or fall together.
    """
    groups = Groups.of(
        examples.region, params.evaluate.bootstrap, params.evaluate.seed, "clouds-real-bootstrap"
    )
    dealt = across_scenes.relabellings(examples, MOST_RELABELLINGS, params.evaluate.seed)
    row = partial(_row, examples=examples, dealt=dealt)
    judged = ordered_map(row, list(features.values()), description="judging methods", unit="methods")
    found = dict(zip(features, judged, strict=True))
    rows = {name: _row_of_table(one, examples, groups) for name, one in found.items()}
    metrics = dict(rows["model"]) | {
        "probe_majority": across_scenes.majority(examples),
        "map_chance": number(np.nanmean(found["model"].chance)),
    }  # fmt: skip
    baselines = [name for name in features if name != "model"]
    for key, values in (("probe", "shares"), ("map", "precision")):
        best = max(baselines, key=lambda name: rows[name][key])
        better = getattr(found["model"], values) - getattr(found[best], values)
        metrics |= {f"{key}_best_baseline": rows[best][key], f"{key}_best_baseline_name": best}
        metrics |= named(f"{key}_minus_best_baseline", groups.mean(better))
    scenes, count, clouds = len(np.unique(examples.scene)), len(examples.label), len(groups.names)
    return metrics | {
        "rows": rows, "by_box": _by_box(examples, found["model"].shares), "scenes": scenes, "boxes": count,
        "regions": clouds, "tiles": len(np.unique(examples.tile)), "relabellings": len(dealt),
        "says": f"{count} rectangles around {clouds} cloud regions in {scenes} scenes, by people who often "
        f"disagree: one rectangle more or less moves the probe by {1 / count:.2f}, and methods whose "
        "intervals overlap cannot be ranked by it",
    }  # fmt: skip


def _row(features: np.ndarray, examples: Examples, dealt: np.ndarray) -> Row:
    x = np.asarray(features, np.float64)
    shares = np.stack([across_scenes.probe(examples, x, labels) for labels in dealt])
    return Row(shares[0], *across_scenes.retrieval(examples, x), shares.mean(1))


def _row_of_table(row: Row, examples: Examples, groups: Groups) -> dict[str, Any]:
    by_class = {
        str(label): float(row.shares[examples.label == label].mean()) for label in np.unique(examples.label)
    }
    return named("probe", groups.mean(row.shares)) | {
        # How many deals of the labels do as well? Ties count against the method.
        "probe_p": float((row.dealt >= row.dealt[0] - 1e-12).mean()), "probe_chance": float(row.dealt.mean()),
        "probe_class_mean": float(np.mean(list(by_class.values()))), "probe_by_class": by_class,
    } | named("map", groups.mean(row.precision))  # fmt: skip


def _by_box(examples: Examples, share: np.ndarray) -> list[dict[str, Any]]:
    tiles = np.bincount(examples.box, minlength=len(share))
    return [
        {
            "scene": str(examples.scene[box]), "class": str(examples.label[box]),
            "region": int(examples.region[box]), "tiles": int(tiles[box]), "right": float(share[box]),
        }
        for box in range(len(share))
    ]  # fmt: skip


def _baselines(triplets: Triplets, images: np.ndarray, params: CloudsParams) -> dict[str, np.ndarray]:
    """Features of the tiles by every baseline."""
    anchors = np.flatnonzero((triplets.table("train")["role"] == "anchor").to_numpy())[:MOST_FIT_TILES]
    fit_images = np.ascontiguousarray(triplets.images("train")[anchors])
    return {name: judged for name, (_, judged) in baselines.rows(fit_images, images, params).items()}
