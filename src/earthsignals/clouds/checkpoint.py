"""What a clouds model's file carries, and every way in which it may not be one.

A model is its weights together with the tiles it was trained to see: their size in kilometres and in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.clouds.model import build, options_of
from earthsignals.clouds.params import GridParams
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.training import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork

KIND = "clouds"


@dataclass(frozen=True)
class EmbeddingModel:
    """A network in evaluation mode, without gradients, and the grid of its tiles."""

    network: EmbeddingNetwork
    grid: GridParams
    options: Mapping[str, Any] = field(default_factory=dict)
    """What `model.build` made the network from."""
    name: str = "model"
    path: Path | None = None
    md5: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    """All parameters of the training, for the record."""


def save_model(
    path: str | Path, network: EmbeddingNetwork, grid: GridParams, *, params: Mapping[str, Any] | None = None
) -> None:
    """Write a network and its grid. Atomic, with repeatable bytes.

    params: plain values, for the record (`CloudsParams.model_dump(mode="json")`).
    """
    payload = {
        "options": options_of(network), "grid": grid.model_dump(mode="json"), "params": dict(params or {}),
    }  # fmt: skip
    save_checkpoint(Path(path), KIND, network.state_dict(), payload)


def load_model(path: str | Path) -> EmbeddingModel:
    """Read a model without ever unpickling.

    Raises EarthSignalsError: the file is missing, truncated, damaged, a pickle, another pipeline's, or holds
    weights that do not fit its options or are not finite.
    """
    path = Path(path)
    content = load_checkpoint(path, KIND)
    try:
        options = dict(content["options"])
        network = build({**options, "initial_weights": None})
        network.load_state_dict(content["state_dict"])
        grid = GridParams.model_validate(content["grid"])
        params = dict(content["params"])
    except (KeyError, TypeError, ValueError, RuntimeError, EarthSignalsError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise EarthSignalsError(
            f"{path} does not hold a clouds model as this version builds it ({reason}): train again with "
            "`dvc repro clouds-train`, or pass a model of this version"
        ) from None
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise EarthSignalsError(
                f"{path}: the weights {name} are not all finite: fetch it again with `dvc pull`, or train "
                "again with a lower learning_rate"
            )
    return EmbeddingModel(
        network.eval().requires_grad_(False), grid, options, path.stem, path, md5_file(path), params
    )
