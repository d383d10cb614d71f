"""A quick look at everything a run needs: a scene, its tiles, one batch through augmentation and network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from earthsignals.clouds.augment import Augment
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.imagery.files import find_sources, read_source
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.ingest_trial import side_by_side
from earthsignals.clouds.judging.rank import effective_rank
from earthsignals.clouds.losses import loss_of
from earthsignals.clouds.model import build
from earthsignals.clouds.networks.resnet import EmbeddingNetwork
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.simulation.scene import list_weather, simulate
from earthsignals.compute.device import choose_device, deterministic
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

BATCH = 8
SCENES = 6
MADE = {
    "data/clouds/scenes/scenes.json": "clouds-scenes",
    "data/clouds/triplets.h5": "clouds-triplets",
    "data/clouds/best_model.pt": "clouds-train",
    "data/clouds/embeddings.parquet": "clouds-embed",
    "reports/clouds/metrics.json": "clouds-evaluate",
}
"""What the stages leave behind, in their order."""

LEAST_CONTRAST = 0.5
"""Of tiles in 255ths of full scale: less is rounding."""


def check(params: CloudsParams, settings: Settings, data: Path | None) -> Iterator[str]:
    """Yield one line per step that went well; raises EarthSignalsError at the first that did not.

    data: a scene of the user's own (CF netCDF, GOES file or picture); None simulates a few.
    """
    started = time.monotonic()
    deterministic(params.train.seed, settings.threads)
    device = choose_device(settings.device)
    scenes = _simulated(params) if data is None else [_of_the_user(data, params)]
    first = scenes[0]
    rows, columns = first.plane.shape
    yield (
        f"scene: {first.name}, {rows} x {columns} pixels of {first.plane.pixel_km:.3g} km, {first.product}, "
        f"{1 - first.valid.mean():.1%} missing" + ("" if data else f"; {len(scenes)} simulated")
    )
    tiles = np.concatenate([side_by_side(scene, params) for scene in scenes])
    brightness = tiles.mean((1, 2, 3)) / 255
    yield (
        f"tiles: {len(tiles)} of {params.grid.tile_km:g} km, {tiles.shape[2]} x {tiles.shape[3]} pixels; "
        f"brightness {brightness.mean():.2f} on average, {brightness.min():.2f} to {brightness.max():.2f}, "
        f"contrast {(tiles.std((1, 2, 3)) / 255).mean():.2f}"
    )
    picks = np.resize(np.arange(len(tiles)), 3 * BATCH)
    triplets = tiles[picks].reshape(BATCH, 3, *tiles.shape[1:])
    augmented = Augment(params.augmentation, params.train.seed)(triplets, 0, np.arange(BATCH))
    if not bool(torch.isfinite(augmented).all()) or augmented.min() < 0 or augmented.max() > 1:
        raise EarthSignalsError(
            f"augmented tiles lie between {augmented.min():g} and {augmented.max():g}, expected numbers from "
            "0 to 1: look for extreme values in clouds.augmentation"
        )
    yield f"augmentation: {' x '.join(map(str, augmented.shape))}, {augmented.mean():.2f} on average"
    network = build(params.network).to(device)
    count = sum(p.numel() for p in network.parameters())
    yield f"network: {params.network.architecture} of {count:,} parameters"
    for name in dict.fromkeys((params.train.loss, *params.peers.losses)):
        loss = _one_batch(network, augmented.to(device), params, name)
        yield f"{name}: one batch of {BATCH} triplets on {device}: loss {loss:.4f}, gradients finite"
    embedded = embed_tiles(network, tiles)
    yield (
        f"embedding, untrained: effective rank {effective_rank(embedded):.1f} of {embedded.shape[1]} over "
        f"{len(embedded)} tiles"
    )
    if float(np.std(tiles)) < LEAST_CONTRAST:
        raise EarthSignalsError(
            f"the tiles are all but of one colour (deviation {np.std(tiles):.2f} of 255): nothing can be "
            "learnt of them; look at the scene, and at the brightness variables of its file"
        )
    yield _what_is_missing()
    yield f"all well after {time.monotonic() - started:.0f} s; next: dvc repro clouds-figures" + (
        "" if data is None else f", with clouds.source: {data.parent}"
    )


def _simulated(params: CloudsParams) -> list[Scene]:
    """Scenes of as many regimes as there are."""
    weather = [each for each in list_weather(params) if not each.series]
    of_regime = {each.regimes: each for each in reversed(weather)}
    chosen = sorted(of_regime.values(), key=lambda each: each.time)[:SCENES]
    return [simulate(params, each) for each in chosen]


def _of_the_user(path: Path, params: CloudsParams) -> Scene:
    """The scene of a file; of a folder, its first."""
    return read_source(find_sources(path)[0], params)


def _one_batch(network: EmbeddingNetwork, tiles: torch.Tensor, params: CloudsParams, name: str) -> float:
    """Forward and backward; raises where loss or gradient is not finite."""
    network.train().zero_grad()
    scenes = torch.arange(2 * len(tiles), device=tiles.device).reshape(-1, 2)
    loss = loss_of(params.train.model_copy(update={"loss": name}))(network, (tiles, scenes))["loss"]
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in gradients):
        raise EarthSignalsError(
            f"the loss {name} of one batch is {loss.item():g} or its gradient is not finite: check "
            "clouds.train.temperature and clouds.train.margin"
        )
    return loss.item()


def _what_is_missing() -> str:
    missing = [stage for path, stage in MADE.items() if not Path(path).exists()]
    return f"not made yet: {', '.join(missing)}" if missing else "made already: all that the stages make"
