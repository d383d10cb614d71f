"""Weights from elsewhere: a user's file under torchvision's names, into a network of the same width."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earthsignals.clouds.networks.resnet import EmbeddingNetwork
from earthsignals.clouds.networks.safetensors import read_safetensors
from earthsignals.storage import EarthSignalsError
from earthsignals.training.checkpoint import read_tensors

CLASSIFIER = "fc."  # of a published network: embeddings have no classes
HEAD = "head."


def load_trunk(network: EmbeddingNetwork, path: str | Path) -> list[str]:
    """Copy a file's weights into everything of `network` but its head.

    path: .safetensors, or .pt of tensors alone, by name (bare, or as `state_dict`). The classifier's (fc.*)
    are left out, and a head's.

    Returns the network's names, its head's aside, that the file does not hold: these keep what they have.

    Raises EarthSignalsError: the file is missing, damaged, a pickle, without any such name, of another width
    or architecture, or not finite. The network is then as it was.
    """
    path = Path(path)
    found = {name: value for name, value in _read(path).items() if not name.startswith((CLASSIFIER, HEAD))}
    own = {name: value for name, value in network.state_dict().items() if not name.startswith(HEAD)}
    if not own.keys() & found.keys():
        raise EarthSignalsError(
            f"{path} holds no weights under torchvision's names (conv1.weight, layer1.0.conv1.weight, …): "
            "save the state_dict of a ResNet, or leave clouds.network.initial_weights empty"
        )
    _check(found, own, network, path)
    with torch.no_grad():
        for name, value in found.items():
            own[name].copy_(value)
    return sorted(own.keys() - found.keys())


def _check(found: dict[str, Tensor], own: dict[str, Tensor], network: EmbeddingNetwork, path: Path) -> None:
    stem = found.get("conv1.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[0] != network.width:
        raise EarthSignalsError(
            f"{path} holds a network of width {stem.shape[0]}, and clouds.network.width is {network.width}: "
            f"set that to {stem.shape[0]}, or name weights of width {network.width}"
        )
    strangers = sorted(found.keys() - own.keys())
    if strangers:
        raise EarthSignalsError(
            f"{path} holds weights that a {network.architecture} has no place for ({strangers[0]} among "
            f"{len(strangers)}): set clouds.network.architecture to theirs, or name others"
        )
    for name, value in found.items():
        if value.shape != own[name].shape:
            raise EarthSignalsError(
                f"{path}: {name} has the shape {tuple(value.shape)}, expected {tuple(own[name].shape)} of a "
                f"{network.architecture} of width {network.width}: name weights of that network"
            )
        if not bool(value.isfinite().all()):
            raise EarthSignalsError(f"{path}: the weights {name} are not all finite: fetch the file again")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise EarthSignalsError(
            f"{path} does not exist: set clouds.network.initial_weights to a file of weights, or leave it "
            "empty"
        )
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if not zipfile.is_zipfile(path):
        raise EarthSignalsError(
            f"{path} is not an archive of tensors but truncated, damaged or a pickle, which is never loaded: "
            "save the weights with torch.save of torch 1.6 or later, or as .safetensors"
        )
    content: Any = read_tensors(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise EarthSignalsError(
            f"{path} holds something else than tensors by name: save a network's state_dict alone"
        )
    return {str(name): value for name, value in content.items()}
