"""A quick look at everything a run needs: a flightline, tiles, a model, one batch, the dense map."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.compute.seeds import philox
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.imagery.masks import find_mask, read_mask
from earthsignals.plume.losses import PixelLoss, TileLoss
from earthsignals.plume.model import build
from earthsignals.plume.networks.dense import dense_form, margins
from earthsignals.plume.networks.sliding import window_logits
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.simulation.simulate import simulate_scene
from earthsignals.plume.tiles.places import Places, choose_places, cut
from earthsignals.plume.train import SEGMENTING
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

DENSE = ("plumenet", "googlenet-valid")
LINES = 12  # windows high: so much of a flightline is looked at
TRIED_SCENES = 12  # simulated flightlines until one shows a plume
SPOTS = 8  # pixels at which the dense map is compared with the sliding window
TOLERANCE = 1e-4  # of a logit


@dataclass(frozen=True)
class _Look:
    """Part of a flightline: ch4 (L, S) float32 [ppm·m], NaN where invalid; mask (L, S) uint8."""

    told: str
    ch4: np.ndarray
    mask: np.ndarray
    plumes: tuple[tuple[float, float], ...] = ()
    confusers: tuple[tuple[float, float], ...] = ()


def check(params: PlumeParams, settings: Settings, data: Path | None) -> Iterator[str]:
    """Yield one line per step that went well; raises EarthSignalsError at the first that did not.

    data: a flightline of the user's own, its mask beside it if there is one; None simulates a small one.
    """
    started = time.monotonic()
    deterministic(params.train.seed, settings.threads)
    device = choose_device(settings.device)
    look, places = _simulated(params) if data is None else _of_the_user(data, params)
    valid = np.isfinite(look.ch4).mean()
    yield f"flightline: {look.told}, {valid:.0%} of {look.ch4.size:,} pixels valid"
    kinds = Counter(places.kind)
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in ("pos", "neg", "bg"))
    yield f"tiles: {told} of {params.tiles.window} x {params.tiles.window} pixels"

    network = build(params.train.architecture, params.tiles.window).to(device)
    yield f"model: {network.architecture}, {sum(p.numel() for p in network.parameters()):,} parameters"
    preprocessing = Preprocessing.from_params(params.preprocessing)
    count, loss = _one_batch(network, look, places, preprocessing, params, device)
    yield f"one batch of {count} on {device}: loss {loss:.3f}, gradients finite"

    if network.architecture in DENSE:
        difference = _dense_against_sliding(network, look, preprocessing, params, device)
        yield f"dense map: within {difference:.0e} of the sliding window's logits at {SPOTS} pixels"
    else:
        yield f"dense map: {network.architecture} has none, its maps take longer"
    next_stage = "plume-scenes" if data is None else f"plume-scenes, with plume.source: {data.parent}"
    yield f"all well after {time.monotonic() - started:.0f} s; next: dvc repro {next_stage}"


def _simulated(params: PlumeParams) -> tuple[_Look, Places]:
    """A small flightline with a plume that a tile can show."""
    side = max(4 * params.tiles.window, 256)
    small = params.scenes.model_copy(update={"lines": side, "samples": side})
    params = params.model_copy(update={"scenes": small})
    for number in range(TRIED_SCENES):
        scene = simulate_scene(params, number % small.days, number // small.days)
        look = _Look(
            f"{scene.stem} of {side} lines x {side} samples (simulated)", scene.bands[-1], scene.mask,
            tuple((plume["row"], plume["col"]) for plume in scene.record["plumes"]),
            tuple((confuser["row"], confuser["col"]) for confuser in scene.record["confusers"]),
        )  # fmt: skip
        places = _places(look, params)
        if "pos" in places.kind:
            return look, places
    raise EarthSignalsError(
        f"none of {TRIED_SCENES} simulated flightlines shows a plume of plume.tiles.minimum_plume_pixels = "
        f"{params.tiles.minimum_plume_pixels} pixels: raise plume.emission.plumes_per_flightline or "
        "rate_kg_h, or lower plume.emission.mask_ppm_m"
    )


def _of_the_user(path: Path, params: PlumeParams) -> tuple[_Look, Places]:
    with open_flightline(path, band=params.preprocessing.band) as flightline:
        lines, samples = flightline.shape
        mask_path = find_mask(flightline.path)
        mask = np.zeros((lines, samples), np.uint8)
        if mask_path is not None:
            mask = read_mask(mask_path, flightline.shape)
        height = LINES * params.tiles.window
        marked = np.flatnonzero((mask == 1).any(axis=1))
        first = max(0, int(marked[0]) - height // 2) if len(marked) else 0
        rows = slice(first, min(lines, first + height))
        band = flightline.band_names[flightline.band - 1]
        look = _Look(
            f"{flightline.stem}, {lines} lines x {samples} samples of {flightline.pixel_m:.3g} m, band "
            f"{flightline.band} ({band}), {'with' if mask_path else 'without'} a mask",
            flightline.read(rows), mask[rows],
        )  # fmt: skip
    places = _places(look, params)
    if not len(places):
        raise EarthSignalsError(
            f"{path} gives no tile of {params.tiles.window} pixels that is at least half valid: it is too "
            "small or too gappy for this window; choose another plume.tiles.window or flightline"
        )
    return look, places


def _places(look: _Look, params: PlumeParams) -> Places:
    return choose_places(
        look.mask, np.isfinite(look.ch4), look.plumes, look.confusers, params.tiles.window, params.tiles,
        philox(params.tiles.seed, "plume-check"),
    )  # fmt: skip


def _one_batch(
    network: nn.Module, look: _Look, places: Places, preprocessing: Preprocessing, params: PlumeParams,
    device: torch.device,
) -> tuple[int, float]:  # fmt: skip
    """Forward and backward: number of tiles and the loss."""
    window = network.window
    # From all of the list: its beginning is plumes, its end background.
    chosen = np.unique(np.linspace(0, len(places) - 1, params.train.batch_size).astype(int))
    spots = [(places.row[n], places.col[n]) for n in chosen]
    tiles = preprocessing.apply(np.stack([cut(look.ch4, *spot, window, np.nan) for spot in spots]))
    x = torch.from_numpy(tiles).unsqueeze(1).to(device)
    segmenting = network.architecture in SEGMENTING
    truth = np.array([places.kind[n] == "pos" for n in chosen], np.float32)
    if segmenting:
        truth = np.stack([cut(look.mask, *spot, window, 0) == 1 for spot in spots]).astype(np.float32)
    batch = x, torch.from_numpy(truth).to(device)
    loss = (PixelLoss() if segmenting else TileLoss())(network.train(), batch)["loss"]
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not torch.isfinite(loss) or not all(torch.isfinite(g).all() for g in gradients):
        raise EarthSignalsError(
            f"the loss of one batch is {loss.item():g} or its gradient is not finite; look for extreme "
            "values in the flightline's CH4 band, or check plume.preprocessing"
        )
    return len(chosen), loss.item()


def _dense_against_sliding(
    network: nn.Module, look: _Look, preprocessing: Preprocessing, params: PlumeParams, device: torch.device
) -> float:
    """Largest difference of logits; raises where the dense map is not the sliding window's."""
    ch4 = look.ch4[: network.window, : network.window]
    padded = np.pad(preprocessing.apply(ch4), margins(network.window), constant_values=preprocessing.fill)
    scene = torch.from_numpy(padded).to(device)
    random = philox(params.tiles.seed, "plume-check-pixels")
    spots = random.integers(ch4.shape, size=(SPOTS, 2))
    rows, columns = torch.from_numpy(spots).to(device).T
    network.eval()
    dense = dense_form(network)(scene[None, None])[rows, columns]
    difference = float((dense - window_logits(network, scene, rows, columns, SPOTS)).abs().max())
    if not difference <= TOLERANCE:
        raise EarthSignalsError(
            f"the dense map differs from the sliding window by {difference:g} in a logit on {device}, "
            f"expected at most {TOLERANCE:g}: use --mode sliding there, or the CPU (EARTHSIGNALS_DEVICE=cpu)"
        )
    return difference
