"""Evaluation: the embedding beside what it has to beat, on scenes of days that nobody has seen.

Probes, regressions, components and scalings are fitted to tiles of training scenes, everything is judged on
all tiles of the study scenes, by the same code and the same resamples of these scenes for every row: the
model, trainings with other losses, and the baselines (`baselines`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.bootstrap import LEVEL
from earthsignals.clouds.baselines import MIXED_UNITS, Row, describe
from earthsignals.clouds.judging.gallery import Gallery
from earthsignals.clouds.judging.perturbed import Perturbed, perturb
from earthsignals.clouds.judging.rank import collapsed
from earthsignals.clouds.judging.retrieval import DEPTH
from earthsignals.clouds.judging.row import Judge, Judged, compared
from earthsignals.clouds.judging.tiles import Study
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.tilefile import Triplets
from earthsignals.compute.device import choose_device
from earthsignals.compute.mapping import progress
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

MODEL = "model"


@dataclass(frozen=True)
class Found:
    """metrics for JSON, arrays by name for the figures."""

    metrics: dict[str, Any]
    arrays: dict[str, np.ndarray]


def evaluate(
    triplets: Triplets, scenes: str | Path, model: EmbeddingModel, peers: Mapping[str, EmbeddingModel],
    params: CloudsParams, settings: Settings,
) -> Found:  # fmt: skip
    """Judge the model, its peers (by loss) and the baselines.

    scenes: the folder that the triplets were cut from, for tiles that are moved and turned.

    Raises EarthSignalsError where a model was trained on tiles of another size than the file's, or there are
    too few scenes to judge.
    """
    from earthsignals.clouds.embedding import embed_tiles

    networks = {MODEL: model} | {f"peer_{loss}": peer for loss, peer in peers.items()}
    for network in networks.values():
        check_grid(triplets, network)
    study = Study.of(triplets, params)
    perturbed = perturb(scenes, params)
    more = perturbed.stacked()
    fit = Gallery([(triplets.images("train"), study.fit.rows)])
    judged = Gallery([(triplets.images("study"), study.tiles.rows), (more, np.arange(len(more)))])
    embeddings = {}
    for name, network in networks.items():
        with on_device(network, settings):
            embeddings[name] = tuple(
                embed_tiles(network, tiles, description=f"embedding by {name}") for tiles in (fit, judged)
            )
    baselines = describe(fit, judged, params)
    rows = judge_rows(embeddings | baselines.rows, Judge(study, perturbed, params.evaluate.clusters))
    found = report(rows, embeddings, study, perturbed, params)
    found.metrics.update(
        dropped=triplets.dropped, imputed_metrics=baselines.imputed, model_md5=model.md5,
        peers_md5={loss: peer.md5 for loss, peer in peers.items()},
    )  # fmt: skip
    return found


@contextmanager
def on_device(model: EmbeddingModel, settings: Settings) -> Iterator[None]:
    """The model's network on the device that the settings name; back on the CPU afterwards."""
    try:
        model.network.to(choose_device(settings.device))
        yield
    finally:
        model.network.to("cpu")


def check_grid(triplets: Triplets, model: EmbeddingModel) -> None:
    """Raises EarthSignalsError where the model knows tiles of another size."""
    own = model.grid.tile_km, model.grid.tile_px
    if own != (triplets.tile_km, triplets.tile_px):
        raise EarthSignalsError(
            f"{model.path or model.name} was trained on tiles of {own[0]:g} km and {own[1]} pixels, and "
            f"{triplets.path} holds tiles of {triplets.tile_km:g} km and {triplets.tile_px}: train again "
            "with `dvc repro clouds-train`"
        )


def judge_rows(rows: Mapping[str, Row], judge: Judge) -> dict[str, Judged]:
    """Each row's features of the tiles fitted to (M, F), and of those judged followed by the perturbed ones
    (N + n', F), to what is measured of it."""
    count, found = len(judge.study.tiles), {}
    with progress("judging", len(rows), "rows") as bar:
        for name, (fit, features) in rows.items():
            found[name] = judge.row(
                fit, features[:count], features[count:], one_unit=name not in MIXED_UNITS
            )
            bar.advance()
    return found


def report(
    rows: dict[str, Judged], embeddings: Mapping[str, Row], study: Study, perturbed: Perturbed,
    params: CloudsParams,
) -> Found:  # fmt: skip
    """Metrics and arrays; prints a warning where an embedding has collapsed.

    rows: of which those of `embeddings` are networks that were trained, MODEL among them.
    """
    model = rows[MODEL]
    baselines = {name: row for name, row in rows.items() if name not in embeddings}
    table: dict[str, Any] = {}
    for name, row in rows.items():
        kind = MODEL if name == MODEL else "peer" if name in embeddings else "baseline"
        table[name] = {"kind": kind, "features": row.features} | row.metrics()
        if name in embeddings:
            judged = embeddings[name][1][: len(study.tiles)]
            table[name]["collapsed"] = collapsed(judged, table[name]["effective_rank"])
            if table[name]["collapsed"]:
                print(
                    f"warning: the embedding of {name} has collapsed: its effective rank is "
                    f"{table[name]['effective_rank']:.2f} of {row.features}; look at its training's loss and "
                    "choose another loss or a lower learning rate", file=sys.stderr,
                )  # fmt: skip
    metrics = model.metrics() | compared(model, baselines, study.groups) | {
        "rows": table, "collapsed": table[MODEL]["collapsed"], "regimes": study.tiles.regimes,
        "level": LEVEL, "scenes": len(study.groups.names), "tiles": len(study.tiles),
        "triplets": len(study.triplets), "duplicate_tiles": study.duplicates, "fit_tiles": len(study.fit),
        "fit_scenes": len(set(study.fit.scene.tolist())), "perturbed_tiles": len(perturbed.base),
        "perturbed_skipped": perturbed.skipped,
    }  # fmt: skip
    arrays = dict(model.arrays) | {
        "shift/km": perturbed.kinds["shift"].amounts * params.grid.pixel_km,
        "rotation/degrees": perturbed.kinds["rotation"].amounts,
        "brightness/shift": perturbed.kinds["brightness"].amounts,
        "contrast/factor": perturbed.kinds["contrast"].amounts,
        "retrieval/k": np.arange(1, DEPTH + 1),
    }  # fmt: skip
    for name, row in rows.items():
        own = {key: values for key, values in row.arrays.items() if key.endswith(("distance", "at_k"))}
        arrays |= {f"rows/{name}/{key}": values for key, values in own.items()}
    return Found(metrics, arrays)
