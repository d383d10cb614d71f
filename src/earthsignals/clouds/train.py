"""Training of the embedding: from triplets to a model file, and the same of its peers' losses.

The batch is shared by all ranks: with several, the negatives of the contrastive loss and the statistics of
batch normalisation are those of a rank's share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from earthsignals.clouds.augment import Augment
from earthsignals.clouds.checkpoint import load_model, save_model
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.losses import loss_of
from earthsignals.clouds.model import build, options_of
from earthsignals.clouds.params import CloudsParams, GridParams, TrainParams
from earthsignals.clouds.tiles.tilefile import ROLES, Triplets
from earthsignals.compute.device import deterministic
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_file, write_json
from earthsignals.training import Trained, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork
    from earthsignals.tracking import Run


class TripletBatches:
    """(tiles, scenes) of one split, as `losses` takes them: a BatchSource.

    tiles (B, 3, 3, P, P), augmented float32 in [0, 1], or uint8 as stored where `augment` is None. scenes
    (B, 2) int64: numbers of the anchor's and of the distant tile's scene.
    """

    def __init__(self, triplets: Triplets, split: str, augment: Augment | None = None) -> None:
        self.triplets, self.split, self.augment = triplets, split, augment
        names = triplets.table(split)["scene"].to_numpy()
        numbers = np.unique(names.astype(str), return_inverse=True)[1].reshape(-1, len(ROLES))
        self.scenes = np.ascontiguousarray(numbers[:, [0, 2]].astype(np.int64))
        if len(self.scenes) == 0:
            raise EarthSignalsError(
                f"{triplets.path} has no triplets in its split `{split}`: set clouds.triplets.{split} larger "
                "and run `dvc repro clouds-triplets`"
            )

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """The triplets at `indices` as they are shown in `epoch`."""
        images = self.triplets.images(self.split)
        tiles = images.reshape(-1, len(ROLES), *images.shape[1:])[indices]
        shown = torch.from_numpy(tiles) if self.augment is None else self.augment(tiles, epoch, indices)
        return shown, torch.from_numpy(self.scenes[indices])


def train_embedding(
    triplets: Triplets, params: CloudsParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None,
) -> Trained:  # fmt: skip
    """Train `params.train` on the triplets of the training split and write `out`.

    The weights kept are those of the epoch with the least loss on the validation triplets, which are shown as
    they are. A killed training resumes exactly when called again with the same arguments, until `clear`.

    Raises EarthSignalsError for a split without triplets, tiles too small for the network, and weights or a
    checkpoint to start from that do not fit it.
    """
    trained = _train(triplets, params, params.train, settings, out, resume_root, run)
    if run is not None:
        run.log_metrics(trained.metrics())
        example = np.array(triplets.images("validation")[:2])
        run.log_signature({"tiles": example}, {"embedding": embed_tiles(load_model(out), example)})
    return trained


def train_peers(
    triplets: Triplets, params: CloudsParams, settings: Settings, folder: Path, *, resume_root: Path,
    run: Run | None = None,
) -> dict[str, Trained]:  # fmt: skip
    """Train the same network with every one of `params.peers.losses` into `folder`/<loss>.pt.

    Beside each lies its history, `<loss>.json`; `peers.json` tells of all, and is there when there are none.
    Peers share the section `train` but for loss, epochs and the checkpoint to start from: they have none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained: dict[str, Trained] = {}
    for loss in dict.fromkeys(params.peers.losses):
        update = {"loss": loss, "epochs": params.peers.epochs, "initial_checkpoint": None}
        out = folder / f"{loss}.pt"
        options = params.train.model_copy(update=update)
        trained[loss] = _train(triplets, params, options, settings, out, resume_root, None)
        write_json(out.with_suffix(".json"), trained[loss].history)
        if run is not None:
            run.add_device_seconds(trained[loss].result.seconds * settings.devices * settings.nodes)
    told = {loss: one.metrics() for loss, one in trained.items()}
    write_json(folder / "peers.json", told)
    if run is not None and told:
        run.log_metrics({"peers": told})
    return trained


def _train(
    triplets: Triplets, params: CloudsParams, options: TrainParams, settings: Settings, out: Path,
    resume_root: Path, run: Run | None,
) -> Trained:  # fmt: skip
    deterministic(options.seed, settings.threads)
    network = _initial(params, options)
    network.check_tile(triplets.tile_px)
    training = TripletBatches(triplets, "train", Augment(params.augmentation, options.seed))
    validation = TripletBatches(triplets, "validation")
    result = fit(
        network, loss_of(options), training, validation, options, settings, resume_root=resume_root,
        key=resume_key(
            options.model_dump(mode="json"), options_of(network),
            params.augmentation.model_dump(mode="json"), md5_file(triplets.path),
        ),
        run=run, description=f"training the embedding ({options.loss})",
    )  # fmt: skip
    described = params.model_copy(update={"train": options}).model_dump(mode="json")
    grid = GridParams(tile_km=triplets.tile_km, tile_px=triplets.tile_px)
    save_model(out, network, grid, params=described)
    parameters = sum(p.numel() for p in network.parameters())
    return Trained(result, {"parameters": parameters, "triplets": len(training)})


def _initial(params: CloudsParams, options: TrainParams) -> EmbeddingNetwork:
    """Random weights with the trunk of `network.initial_weights`, or those of `train.initial_checkpoint`."""
    if options.initial_checkpoint is None:
        torch.manual_seed(options.seed)
        return build(params.network)
    if params.network.initial_weights is not None:
        raise EarthSignalsError(
            "clouds.train.initial_checkpoint and clouds.network.initial_weights both say where to start: "
            "leave one of them empty"
        )
    model = load_model(options.initial_checkpoint)
    own, asked = options_of(model.network), options_of(build(params.network))
    if own != asked:
        differing = ", ".join(
            f"{name} {own.get(name)} instead of {asked.get(name)}"
            for name in {**own, **asked}
            if own.get(name) != asked.get(name)
        )
        raise EarthSignalsError(
            f"{options.initial_checkpoint} is another network than clouds.network describes ({differing}): "
            "set these to the checkpoint's, or leave clouds.train.initial_checkpoint empty"
        )
    return model.network.requires_grad_(True).train()
