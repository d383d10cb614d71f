"""Training of the autoencoder with an ordered latent: from the linear solution on, on coefficients.

Encoder and decoders live between coefficients of the linear path, whose directions are orthonormal: an error
in coefficients, with what lies outside of their span, is the error of the image. So images are made once per
guise, and an epoch takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.device import deterministic
from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox
from earthsignals.seismic import tensorboard
from earthsignals.seismic.checkpoint import load_model, save_model
from earthsignals.seismic.judging.anomalies import fit_reference
from earthsignals.seismic.linear import Guises, linear_start
from earthsignals.seismic.networks.bottleneck import Bottleneck
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.store.packed import Store
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training import Trained, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.tracking import Run

SHOWN = 4  # reconstructions in TensorBoard


class CoefficientBatches:
    """A BatchSource of coefficients (B, K) and of what lies outside of their span (B,), squared and summed.

    coefficients: (G, N, K), rest: (G, N), of G guises; which guise of a record an epoch shows is a function
    of (seed, epoch) alone.
    """

    def __init__(self, coefficients: Tensor, rest: Tensor, seed: int = 0) -> None:
        self.coefficients, self.rest, self.seed = coefficients, rest, seed

    def __len__(self) -> int:
        return self.coefficients.shape[1]

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """Coefficients and rests of the records at `indices`."""
        guises = philox(self.seed, "seismic-choice", epoch).integers(len(self.coefficients), size=len(self))
        chosen = torch.from_numpy(guises[indices]), torch.from_numpy(np.asarray(indices))
        return self.coefficients[chosen], self.rest[chosen]


class CoefficientLoss:
    """Mean squared error of the image at every latent size, from coefficients alone; `loss` is their mean."""

    def __call__(self, model: Bottleneck, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        coefficients, rest = batch
        pixels = model.basis.shape[1]
        z = model.latent(coefficients)
        errors = {
            f"mse_{size}": ((model.expand(z, size) - coefficients).square().sum(1) + rest).mean() / pixels
            for size in model.sizes
        }
        return {"loss": torch.stack(list(errors.values())).mean()} | {
            name: error.detach() for name, error in errors.items()
        }


def train_bottleneck(
    store: Store, params: SeismicParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None, log_folder: Path = tensorboard.FOLDER,
) -> Trained:  # fmt: skip
    """Train `params.train` on all records of the training split and write `out`.

    The weights kept are those of the epoch with the least error on the development split. A killed training
    resumes exactly when called again with the same arguments, until `clear`. With `params.tensorboard`,
    curves and reconstructions go to `log_folder`/bottleneck.

    Raises EarthSignalsError for a split without records, fewer records than components, or an initial
    checkpoint of other sizes.
    """
    options = params.train
    deterministic(options.seed, settings.threads)
    preprocessing = Preprocessing.from_params(params)
    training = Guises(store, _rows(store, "train"), preprocessing, options.seed)
    validation = Guises(store, _rows(store, "dev"), preprocessing, options.seed)
    network, built = _initial(training, params)
    batches = CoefficientBatches(*_coefficients(network, training, options.guises), options.seed)
    held_out = CoefficientBatches(*_coefficients(network, validation, 1))
    images = next(validation.blocks(0))[0][:SHOWN]
    with nullcontext() if not params.tensorboard else tensorboard.TensorboardLog(
        log_folder / "bottleneck", network, images, network.reconstruct
    ) as log:
        result = fit(
            network, CoefficientLoss(), batches, held_out, options, settings, resume_root=resume_root,
            key=resume_key(
                "bottleneck", options.model_dump(mode="json"), preprocessing.to_dict(),
                store.about["metadata_sha256"],
            ),
            run=run, on_epoch=log, description="training the autoencoder",
        )  # fmt: skip
    save_model(
        out, network, "bottleneck", preprocessing, options=built, params=params.model_dump(mode="json"),
        reference=_reference(network, store, {"train": batches, "dev": held_out}),
    )  # fmt: skip
    parameters = sum(p.numel() for p in network.parameters())
    trained = Trained(result, {"parameters": parameters, "records": len(batches)})
    if run is not None:
        run.log_metrics(trained.metrics())
        with torch.no_grad():
            run.log_signature({"image": images.numpy()}, {"latent": network.encode(images).numpy()})
    return trained


def _rows(store: Store, split: str) -> np.ndarray:
    rows = store.rows(split)
    if len(rows) == 0:
        raise EarthSignalsError(
            f"{store.folder} has no records in its split `{split}`: pack more records, or other fractions of "
            "seismic.store"
        )
    return rows


def _initial(training: Guises, params: SeismicParams) -> tuple[Bottleneck, dict[str, Any]]:
    """The linear autoencoder, or the one of `initial_checkpoint`, and the options it was built with."""
    options = params.train
    if options.initial_checkpoint is not None:
        model = load_model(options.initial_checkpoint, "bottleneck")
        own = model.options["hidden"], model.network.sizes, model.preprocessing
        if own != (options.hidden, options.sizes, training.preprocessing):
            raise EarthSignalsError(
                f"{options.initial_checkpoint} has latents of {list(model.network.sizes)} numbers, width "
                f"{model.options['hidden']} and a preprocessing of its own; seismic.train asks for "
                f"{list(options.sizes)} and {options.hidden}: name a checkpoint of the same sizes, width, "
                "STFT and scaling, or leave seismic.train.initial_checkpoint empty"
            )
        return model.network.requires_grad_(True).train(), dict(model.options)
    built = {
        "shape": list(training.preprocessing.shape), "sizes": list(options.sizes),
        "components": options.sizes[-1], "hidden": options.hidden, "dropout": options.dropout,
    }  # fmt: skip
    torch.manual_seed(options.seed)
    network = Bottleneck(**built)
    network.start_from(linear_start(training, built["components"], options.guises))
    return network, built


@torch.no_grad()
def _coefficients(network: Bottleneck, guises: Guises, number: int) -> tuple[Tensor, Tensor]:
    """Coefficients (G, N, K) and the squared sum of what they leave (G, N) of the first `number` guises."""
    found, rests = [], []
    with progress("coefficients", number * len(guises.rows), "records") as bar:
        for guise in range(number):
            for x, mask in guises.blocks(guise):
                deviation = network.deviation(x, mask)
                c = deviation @ network.basis.T
                found.append(c)
                # Pythagoras: the directions are orthonormal.
                rests.append((deviation.square().sum(1) - c.square().sum(1)).clamp(min=0))
                bar.advance(len(x))
    shape = number, len(guises.rows)
    return torch.cat(found).unflatten(0, shape), torch.cat(rests).unflatten(0, shape)


@torch.no_grad()
def _reference(
    network: Bottleneck, store: Store, batches: Mapping[str, CoefficientBatches]
) -> dict[str, Tensor]:
    """What anomalies are measured against: latents of training earthquakes, thresholds of held-out ones."""
    latents = {}
    for split, known in batches.items():
        earthquakes = np.isin(store.rows(split), store.rows(split, category="earthquake"))
        latents[split] = network.latent(known.coefficients[0][torch.from_numpy(earthquakes)]).numpy()
    return fit_reference(latents["train"], latents["dev"])
