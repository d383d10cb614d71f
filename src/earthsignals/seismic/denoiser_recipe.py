"""Training of the denoiser: from the packed store to a model file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from earthsignals.compute.device import deterministic
from earthsignals.seismic import tensorboard
from earthsignals.seismic.checkpoint import load_model, save_model
from earthsignals.seismic.denoising.batches import MixedBatches, Sources
from earthsignals.seismic.denoising.loss import DenoisingLoss
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.store.packed import Store
from earthsignals.settings import Settings
from earthsignals.training import Trained, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.tracking import Run


def train_denoiser(
    store: Store, params: SeismicParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None, log_folder: Path = tensorboard.FOLDER,
) -> Trained:  # fmt: skip
    """Train `params.denoiser` on mixtures of the training split and write `out`.

    The weights kept are those of the epoch with the largest gain on mixtures of the development split. The
    scaling is joint whatever `params.scaling` says: a mask needs decibels, and the components' ratios.
    A killed training resumes exactly when called again with the same arguments, until `clear`. With
    `params.tensorboard`, curves go to `log_folder`/denoiser.

    Raises EarthSignalsError for a store without clean records or without noise in a split.
    """
    options = params.denoiser
    deterministic(options.seed, settings.threads)
    preprocessing = Preprocessing.from_params(params, normalisation="joint")
    torch.manual_seed(options.seed)
    network = Denoiser(options.channels).to(memory_format=torch.channels_last)
    sources = {split: Sources.of(store, split, params) for split in ("train", "dev")}
    training, validation = (
        MixedBatches(store, sources[split], options.mixing_db, augment=split == "train", seed=options.seed)
        for split in sources
    )
    with nullcontext() if not params.tensorboard else tensorboard.TensorboardLog(
        log_folder / "denoiser"
    ) as log:
        result = fit(
            network, DenoisingLoss(preprocessing), training, validation, options, settings,
            resume_root=resume_root,
            key=resume_key(
                "denoiser", options.model_dump(mode="json"), preprocessing.to_dict(), _identity(store),
            ),
            run=run, on_epoch=log, description="training the denoiser",
        )  # fmt: skip
    save_model(
        out, network, "denoiser", preprocessing, options={"channels": options.channels},
        params=params.model_dump(mode="json"),
    )  # fmt: skip
    trained = Trained(result, {
        "parameters": sum(p.numel() for p in network.parameters()), "clean_records": len(training),
        "noise_records": len(sources["train"].noise),
    })  # fmt: skip
    if run is not None:
        run.log_metrics(trained.metrics())
        _log_signature(run, validation, out)
    return trained


def _identity(store: Store) -> list[int]:
    """The checksums of all records: a resume point of other waveforms is none."""
    return [int(value) for value in store.metadata["trace_crc32"]]


def _log_signature(run: Run, validation: MixedBatches, out: Path) -> None:
    from earthsignals.seismic.denoising.waveform import masked

    model = load_model(out, "denoiser")
    noisy, _ = validation.batch(np.arange(min(2, len(validation))), 0)
    # Four windows of the transform: any length will do, and an example need not be long.
    noisy = noisy[..., : 4 * model.preprocessing.stft.window_samples].numpy()
    waveforms, masks = masked(model.network, model.preprocessing, noisy)
    run.log_signature({"noisy": noisy}, {"denoised": waveforms, "mask": masks})
