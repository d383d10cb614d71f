"""Training: from tiles to a calibrated model file, for the default architecture and for its peers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.plume.calibrate import Calibration, calibrate, shift_logits
from earthsignals.plume.checkpoint import load_model, save_model
from earthsignals.plume.losses import PixelLoss, TileLoss, class_weights
from earthsignals.plume.model import build
from earthsignals.plume.params import PlumeParams, PlumeTrainParams
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.tiles.augment import TileBatches
from earthsignals.plume.tiles.tilefile import TileFile, TilesError
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_file, write_json
from earthsignals.training import FitResult, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.tracking import Run

SEGMENTING = ("unet",)  # architectures that label pixels instead of tiles
CALIBRATION_PIXELS = 2_000_000  # of a U-Net: more change nothing


@dataclass(frozen=True)
class Trained:
    """What a training gives besides its model file."""

    result: FitResult
    calibration: Calibration
    parameters: int

    @property
    def history(self) -> list[dict[str, float]]:
        """One row of losses per epoch."""
        return self.result.history

    def metrics(self) -> dict[str, Any]:
        """Final numbers for a log."""
        return {
            "best_epoch": self.result.best_epoch, "best_validation_loss": self.result.best_loss,
            "parameters": self.parameters, "calibration": self.calibration.to_dict(),
        }  # fmt: skip

    def clear(self) -> None:
        """Remove the resume points; call it once everything that the stage writes is there."""
        self.result.clear()


def train(
    tiles: TileFile, params: PlumeParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None,
) -> Trained:  # fmt: skip
    """Train `params.train.architecture` on the tiles of `params.tiles.window` and write `out`.

    A killed training resumes exactly when called again with the same arguments, until `Trained.clear`.

    Raises EarthSignalsError for an architecture that has no such window or cannot learn from these tiles.
    """
    architecture, window = params.train.architecture, params.tiles.window
    trained = _train(tiles, params, params.train, architecture, window, settings, out, resume_root, run)
    if run is not None:
        splits = tiles.counts["tiles"][str(window)]
        run.log_metrics(trained.metrics() | {"tiles": splits})
        _log_signature(run, tiles, params, out)
    return trained


def train_peers(
    tiles: TileFile, params: PlumeParams, settings: Settings, folder: Path, *, resume_root: Path,
    run: Run | None = None,
) -> dict[str, Trained]:  # fmt: skip
    """Train every one of `params.peers.models` into `folder`/<architecture>-<window>.pt.

    Beside each lies its history, `<name>.json`; `peers.json` tells of all, and is there when there are
    none. Peers share the section `train` but for what the section `peers` sets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = {name: getattr(params.peers, name) for name in ("epochs", "batch_size", "learning_rate")}
    options = params.train.model_copy(update=own | {"initial_checkpoint": None})
    trained: dict[str, Trained] = {}
    for name in dict.fromkeys(params.peers.models):
        architecture, window = name.rsplit("-", 1)
        out = folder / f"{name}.pt"
        trained[name] = _train(
            tiles, params, options, architecture, int(window), settings, out, resume_root, None
        )
        write_json(out.with_suffix(".json"), trained[name].history)
        if run is not None:
            run.add_device_seconds(trained[name].result.seconds * settings.devices)
    told = {name: one.metrics() for name, one in trained.items()}
    write_json(folder / "peers.json", told)
    if run is not None and told:
        run.log_metrics({"peers": told})
    return trained


def _train(
    tiles: TileFile, params: PlumeParams, options: PlumeTrainParams, architecture: str, window: int,
    settings: Settings, out: Path, resume_root: Path, run: Run | None,
) -> Trained:  # fmt: skip
    group = tiles.group(window)
    segmenting = architecture in SEGMENTING
    if segmenting and not tiles.has_masks:
        raise TilesError(
            f"{tiles.path} comes from a manifest, which marks no pixels of a plume, so {architecture} cannot "
            "learn from it: choose plumenet or a googlenet, or train on flightlines with masks"
        )
    deterministic(options.seed, settings.threads)
    preprocessing = Preprocessing.from_params(params.preprocessing)
    network = _initial(architecture, window, options)
    training = TileBatches(
        group, "train", preprocessing, with_masks=segmenting, flips=options.flips,
        rotations=options.rotations, seed=options.seed,
    )  # fmt: skip
    validation = TileBatches(group, "validation", preprocessing, with_masks=segmenting)
    loss: TileLoss | PixelLoss = PixelLoss()
    if not segmenting:
        weights = class_weights(training.labels) if options.class_weights else (1.0, 1.0)
        loss = TileLoss(*weights, options.label_smoothing)
    result = fit(
        network, loss, training, validation, options, settings, resume_root=resume_root,
        key=resume_key(
            architecture, window, options.model_dump(mode="json"), preprocessing.to_dict(),
            md5_file(tiles.path),
        ),
        run=run, description=f"training {architecture}-{window}",
    )  # fmt: skip
    logits, labels = validation_logits(network, validation, options.batch_size, settings)
    calibration = calibrate(logits, labels)
    shift_logits(network, calibration.shift)
    save_model(
        out, network, preprocessing, temperature=calibration.temperature,
        threshold=calibration.threshold, params=params.model_dump(mode="json"),
    )  # fmt: skip
    return Trained(result, calibration, sum(p.numel() for p in network.parameters()))


def _initial(architecture: str, window: int, options: PlumeTrainParams) -> nn.Module:
    """Random weights, or those of `train.initial_checkpoint`."""
    if options.initial_checkpoint is None:
        torch.manual_seed(options.seed)
        return build(architecture, window)
    model = load_model(options.initial_checkpoint)
    if (model.architecture, model.window) != (architecture, window):
        raise EarthSignalsError(
            f"{options.initial_checkpoint} holds a {model.architecture} of window {model.window}, but "
            f"plume.train.architecture is {architecture} and plume.tiles.window {window}: name a checkpoint "
            "of that kind or leave plume.train.initial_checkpoint empty"
        )
    return model.network.requires_grad_(True).train()


@torch.no_grad()
def validation_logits(
    network: nn.Module, batches: TileBatches, size: int, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels (N,) of tiles, or of evenly chosen pixels; the network ends on the CPU."""
    device = choose_device(settings.device)
    network.to(device).eval()
    logits, labels = [], []
    for start in range(0, len(batches), size):
        x, label = batches.batch(np.arange(start, min(start + size, len(batches))), 0)
        logits.append(network(x.to(device)).float().cpu().numpy().ravel())
        labels.append(label.numpy().ravel() > 0.5)
    network.to("cpu")
    step = max(1, sum(map(len, logits)) // CALIBRATION_PIXELS) if batches.with_masks else 1
    return np.concatenate(logits)[::step], np.concatenate(labels)[::step]


def _log_signature(run: Run, tiles: TileFile, params: PlumeParams, out: Path) -> None:
    model = load_model(out)
    rows = tiles.group(model.window).rows("validation")[:4]
    ch4 = tiles.group(model.window).tiles[rows]
    x = torch.from_numpy(model.preprocessing.apply(ch4)).unsqueeze(1)
    with torch.no_grad():
        probability = model.probability(model.network(x).numpy())
    run.log_signature({"normalised_ch4": x.numpy()}, {"plume_probability": probability})

