"""What a seismic model's file carries, and every way in which it may not be one.

A model is its weights together with what they were trained to see (window, filter, STFT, scaling) and,
for an autoencoder, the latents of the training records that an anomaly is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from earthsignals.seismic.model import build
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.training import load_checkpoint, save_checkpoint

KIND = "seismic"
STAGES = {
    "bottleneck": "seismic-train",
    "denoiser": "seismic-denoiser",
    "seed": "seismic-seed",
}  # that write a model of each architecture


@dataclass(frozen=True)
class SpectrogramModel:
    """A network in evaluation mode with all that it needs besides waveforms.

    reference: of an autoencoder's training records, `mean` (L,), `precision` (L, L), `latents` (M, L),
    `threshold_mahalanobis` () and `threshold_knn` (): what is far from them is an anomaly. Empty for other
    networks.
    """

    network: nn.Module
    architecture: str
    preprocessing: Preprocessing
    reference: Mapping[str, Tensor] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = "model"
    path: Path | None = None
    md5: str = ""


def save_model(
    path: str | Path, network: nn.Module, architecture: str, preprocessing: Preprocessing, *,
    options: Mapping[str, Any] | None = None, reference: Mapping[str, Tensor] | None = None,
    params: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a network with what `model.build` needs to make it again. Atomic, with repeatable bytes.

    options: keyword arguments of `build(architecture, **options)`. params: plain values, for the record
    (`SeismicParams.model_dump(mode="json")`).
    """
    payload = {
        "architecture": architecture,
        "options": dict(options or {}),
        "preprocessing": preprocessing.to_dict(),
        "reference": dict(reference or {}),
        "params": dict(params or {}),
    }
    save_checkpoint(Path(path), KIND, network.state_dict(), payload)


def load_model(path: str | Path, architecture: str | None = None) -> SpectrogramModel:
    """Read a model without ever unpickling.

    architecture: what is wanted ("bottleneck", "seed" or "denoiser"); None takes any.

    Raises EarthSignalsError: the file is missing, truncated, damaged, a pickle, another pipeline's, holds
    another architecture than wanted, or weights that do not fit it or are not finite.
    """
    path = Path(path)
    content = load_checkpoint(path, KIND)
    found = content.get("architecture", "unnamed")
    if architecture is not None and found != architecture:
        raise EarthSignalsError(
            f"{path} holds a {found} network, expected a {architecture}: pass the model that "
            f"`dvc repro {STAGES.get(architecture, 'seismic-train')}` writes"
        )
    try:
        network = build(found, content["options"])
        network.load_state_dict(content["state_dict"])
        preprocessing = Preprocessing.from_dict(content["preprocessing"])
        reference = dict(content["reference"])
        options = dict(content["options"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise EarthSignalsError(
            f"{path} does not hold the {found} network as this version builds it ({reason}): train again "
            f"with `dvc repro {STAGES.get(found, 'seismic-train')}`, or pass a model of this version"
        ) from None
    _check_finite(network, path)
    return SpectrogramModel(
        network.eval().requires_grad_(False), found, preprocessing, reference, options, path.stem, path,
        md5_file(path),
    )  # fmt: skip


def _check_finite(network: nn.Module, path: Path) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise EarthSignalsError(
                f"{path}: the weights {name} are not all finite: fetch it again with `dvc pull`, or train "
                "again with a lower learning_rate"
            )
