"""Training of the plain autoencoder by its own recipe: component scaling, mean squared error, Adam.

Two things differ, for honesty's sake: events and stations of training and development are disjoint, and
padding does not count.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.compute.device import deterministic
from earthsignals.seismic import tensorboard
from earthsignals.seismic.checkpoint import save_model
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.spectrogram.batches import SpectrogramBatches, loading_device
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.store.packed import Store, evenly
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training import Trained, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.tracking import Run

VALIDATION_SHARE = 0.25  # of the number of training records: as many of the development split at most
SHOWN = 4  # reconstructions in TensorBoard


class ReconstructionLoss:
    """Errors of a network that reproduces its images, means over components, frequencies and valid frames.

    loss: mean of (y − x)². mae: mean of |y − x|. Batches are those of `SpectrogramBatches`.
    """

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, mask = batch
        with matrix_units(x.device):
            y = model(x)
        error = (y.float() - x) * mask
        cells = mask.sum().clamp(min=1) * x.shape[1] * x.shape[2]
        return {"loss": error.square().sum() / cells, "mae": error.detach().abs().sum() / cells}


def matrix_units(device: torch.device) -> Any:
    """A context that computes in bfloat16 where a CPU has matrix units for it (Intel AMX), in which it is
    twice as fast; elsewhere it would be slower. On other devices the setting `precision` decides."""
    has_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    if device.type == "cpu" and has_units():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def train_seed(
    store: Store, params: SeismicParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None, log_folder: Path = tensorboard.FOLDER,
) -> Trained:  # fmt: skip
    """Train `params.seed` on earthquakes of the training split and write `out`.

    The weights kept are those of the epoch with the least error on the development split. A killed training
    resumes exactly when called again with the same arguments, until `clear`. With `params.tensorboard`,
    curves and reconstructions go to `log_folder`/seed.

    Raises EarthSignalsError for a store without earthquakes in one of the two splits.
    """
    options = params.seed
    deterministic(options.seed, settings.threads)
    preprocessing = Preprocessing.from_params(params, normalisation="component")
    device = loading_device(settings)
    shown = int(np.ceil(VALIDATION_SHARE * options.records))
    training = _batches(store, "train", preprocessing, options.records, device)
    validation = _batches(store, "dev", preprocessing, shown, device)
    torch.manual_seed(options.seed)
    network = SeedAutoencoder()
    with nullcontext() if not params.tensorboard else tensorboard.TensorboardLog(
        log_folder / "seed", network, validation.batch(np.arange(min(SHOWN, len(validation))), 0)[0].cpu()
    ) as log:
        result = fit(
            network, ReconstructionLoss(), training, validation, options, settings,
            resume_root=resume_root,
            key=resume_key(
                "seed", options.model_dump(mode="json"), preprocessing.to_dict(),
                store.about["metadata_sha256"],
            ),
            run=run, on_epoch=log, description="training the plain autoencoder",
        )  # fmt: skip
    save_model(out, network, "seed", preprocessing, params=params.model_dump(mode="json"))
    parameters = sum(p.numel() for p in network.parameters())
    trained = Trained(result, {"parameters": parameters, "records": len(training)})
    if run is not None:
        run.log_metrics(trained.metrics())
        _log_signature(run, network, validation)
    return trained


def _batches(
    store: Store, split: str, preprocessing: Preprocessing, number: int, device: torch.device
) -> SpectrogramBatches:
    rows = evenly(store.rows(split, category="earthquake"), number)
    if len(rows) == 0:
        raise EarthSignalsError(
            f"{store.folder} has no earthquakes in its split `{split}`, and the plain autoencoder learns "
            "from nothing else: pack more records, or other fractions of seismic.store"
        )
    return SpectrogramBatches(store, rows, preprocessing, device=device)


@torch.no_grad()
def _log_signature(run: Run, network: nn.Module, validation: SpectrogramBatches) -> None:
    x = validation.batch(np.arange(min(2, len(validation))), 0)[0].cpu()
    run.log_signature({"image": x.numpy()}, {"reconstruction": network(x).numpy()})
