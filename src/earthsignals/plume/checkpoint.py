"""What a saliency model's file carries, and every way in which it may not be one.

A model is its weights together with what they were trained to see (preprocessing, window) and how its
answer is read (temperature, threshold). The project's own files hold all of it. srcfinder's weights are
bare state dictionaries of a GoogLeNet: their preprocessing goes by the campaign's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from earthsignals.plume.model import build
from earthsignals.plume.networks.googlenet import load_srcfinder
from earthsignals.plume.preprocess import NAMED, Preprocessing
from earthsignals.storage import EarthSignalsError, find_project_root, md5_file
from earthsignals.training import load_checkpoint, save_checkpoint
from earthsignals.training.checkpoint import read_tensors

KIND = "plume"
WEIGHTS = Path("data/plume/weights")
DEFAULT = Path("data/plume/best_model.pt")


@dataclass(frozen=True)
class SaliencyModel:
    """A network in evaluation mode with all that a map needs besides the image.

    probability = sigmoid(logit / temperature); a pixel or tile from `threshold` on counts as plume.
    """

    network: nn.Module
    architecture: str
    window: int
    preprocessing: Preprocessing
    temperature: float = 1.0
    threshold: float = 0.5
    name: str = "model"
    path: Path | None = None
    md5: str = ""

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probability of a plume, float32 in [0, 1], of logits of any shape."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        # exp of a negative number only: no overflow at either end.
        small = np.exp(-np.abs(scaled))
        return (np.where(scaled >= 0, 1.0, small) / (1.0 + small)).astype(np.float32)


def save_model(
    path: str | Path,
    network: nn.Module,
    preprocessing: Preprocessing,
    *,
    temperature: float = 1.0,
    threshold: float = 0.5,
    params: Mapping[str, Any] | None = None,
) -> None:
    """Write a network of `model.build` with its preprocessing, calibration and training parameters.

    Atomic, with repeatable bytes. `params` holds plain values (`PlumeParams.model_dump(mode="json")`).
    """
    payload = {
        "architecture": network.architecture,
        "window": int(network.window),
        "preprocessing": preprocessing.to_dict(),
        "temperature": float(temperature),
        "threshold": float(threshold),
        "params": dict(params or {}),
    }
    save_checkpoint(Path(path), KIND, network.state_dict(), payload)


def load_model(path_or_name: str | Path, preprocessing: str | None = None) -> SaliencyModel:
    """Read a model from a file, or one of srcfinder's by its name, without ever unpickling.

    path_or_name: a `best_model.pt` of this project; a bare state dictionary of srcfinder's GoogLeNet;
    or COVID_QC, CalCH4_v8, Permian_QC, looked up as `data/plume/weights/<name>.pt`.
    preprocessing: a name in `preprocess.NAMED`; needed for a bare state dictionary whose file is not
    named after a campaign, refused for the project's own files, which carry theirs.

    Raises EarthSignalsError: the file is missing, truncated, a pickle, another pipeline's, or holds
    another architecture than it says or than is known here.
    """
    path = _find(path_or_name)
    if path.is_file() and _is_bare(read_tensors(path)):
        return _load_srcfinder(path, preprocessing)
    content = load_checkpoint(path, KIND)
    if preprocessing is not None:
        raise EarthSignalsError(
            f"{path} carries its own preprocessing, so `{preprocessing}` cannot be chosen for it: leave "
            "the choice away"
        )
    try:
        network = build(content["architecture"], content["window"])
        network.load_state_dict(content["state_dict"])
        _check_finite(network, path)
        return SaliencyModel(
            network.eval().requires_grad_(False), content["architecture"], content["window"],
            Preprocessing.from_dict(content["preprocessing"]),
            _positive(content["temperature"]), float(content["threshold"]),
            path.stem, path, md5_file(path),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EarthSignalsError(
            f"{path} does not hold the {content.get('architecture', 'unnamed')} network of window "
            f"{content.get('window', '?')} as this version builds it ({_first_line(error)}): train again "
            "with `dvc repro plume-train`, or pass a model that this version trained"
        ) from None


def _find(path_or_name: str | Path) -> Path:
    """The file itself, or the one of a published model's name."""
    path = Path(path_or_name)
    if path.is_file() or str(path_or_name) not in NAMED:
        return path
    folders = [Path.cwd()]
    with suppress(EarthSignalsError):  # outside of a project only the working directory is left to look in
        folders.insert(0, find_project_root())
    places = [folder / WEIGHTS / f"{path}.pt" for folder in dict.fromkeys(folders)]
    for place in places:
        if place.is_file():
            return place
    raise EarthSignalsError(
        f"the weights of {path} are not here: srcfinder's trained weights are not public, so ask its "
        f"authors for {path}.pt and put it at {places[0]}, or use a model of your own "
        f"(`dvc repro plume-train` writes {DEFAULT})"
    )


def _is_bare(content: Any) -> bool:
    """Weights without any word about what they are: not written by `save_checkpoint`."""
    return isinstance(content, Mapping) and "format_version" not in content


def _load_srcfinder(path: Path, preprocessing: str | None) -> SaliencyModel:
    network = load_srcfinder(path)
    _check_finite(network, path)
    name = preprocessing or next((known for known in NAMED if path.stem.startswith(known)), None)
    if name not in NAMED:
        fault = "has a name that tells no campaign" if name is None else f"cannot be read with `{name}`"
        raise EarthSignalsError(
            f"{path} holds bare weights and {fault}, so its mean and deviation are unknown: choose one of "
            f"{', '.join(NAMED)} (--preprocessing)"
        )
    return SaliencyModel(
        network.eval().requires_grad_(False), network.architecture, network.window, NAMED[name],
        name=path.stem, path=path, md5=md5_file(path),
    )  # fmt: skip


def _check_finite(network: nn.Module, path: Path) -> None:
    """Weights of a training that diverged would make a map without one number in it."""
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise EarthSignalsError(
                f"{path}: `{name}` holds NaN or infinite weights, most likely from a training that diverged: "
                "train again with a smaller learning rate"
            )


def _positive(temperature: Any) -> float:
    value = float(temperature)
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"its temperature is {value:g}")
    return value


def _first_line(error: Exception) -> str:
    """What torch says first about a mismatch, past its heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[1] if len(lines) > 1 else lines[0] if lines else repr(error))[:120]
