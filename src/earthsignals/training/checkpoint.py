"""Checkpoints: plain dictionaries of tensors and numbers, read without ever unpickling."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
_RESERVED = ("format_version", "kind", "state_dict")


def save_checkpoint(
    path: Path, kind: str, state_dict: Mapping[str, Tensor], payload: Mapping[str, Any]
) -> None:
    """Write ``{format_version, kind, state_dict, **payload}`` atomically, with repeatable bytes.

    Args:
        path: final name, e.g. ``data/tdlas/best_model.pt``.
        kind: what it is, e.g. ``"tdlas"``; :func:`load_checkpoint` refuses another kind.
        state_dict: weights; copied to the CPU.
        payload: preprocessing constants, params, hashes: str, int, float, bool, None, list,
            dict and tensors only.

    Raises:
        EarthSignalsError: the payload holds anything else or uses a reserved key; disk full.
    """
    for key in payload:
        if key in _RESERVED:
            raise EarthSignalsError(f"{path}: payload key {key} is reserved; choose another name")
    weights = {name: _plain(value, path, name) for name, value in state_dict.items()}
    extra = {key: _plain(value, path, key) for key, value in payload.items()}
    content = {"format_version": FORMAT_VERSION, "kind": kind, "state_dict": weights, **extra}
    write_tensors(path, content)


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint of ``kind`` onto the CPU, with ``weights_only=True``.

    Raises:
        EarthSignalsError: the file is missing, truncated or damaged, is a pickle or holds objects
            other than tensors and plain values, is of another kind, or of a newer format.
    """
    content = read_tensors(path)
    if not isinstance(content, dict) or not {*_RESERVED} <= content.keys():
        raise EarthSignalsError(
            f"{path} is no earthsignals checkpoint (it lacks format_version, kind or state_dict): "
            "pass a best_model.pt written by a train stage"
        )
    if not isinstance(content["format_version"], int) or (
        content["format_version"] > FORMAT_VERSION
    ):
        raise EarthSignalsError(
            f"{path} has checkpoint format {content['format_version']}, this version reads up to "
            f"{FORMAT_VERSION}: update earthsignals"
        )
    if content["kind"] != kind:
        raise EarthSignalsError(
            f"{path} is a checkpoint of kind {content['kind']!r}, expected {kind!r}: pass the one "
            f"from data/{kind}/"
        )
    return content


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """``torch.save`` atomically. Through a file object: by path, torch would embed the temporary
    name in the archive, and equal content would give different bytes."""
    import torch

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


def read_tensors(path: Path) -> Any:
    """``torch.load(weights_only=True)`` on the CPU, with refusals as sentences.

    Raises:
        EarthSignalsError: missing, truncated, damaged or not plain tensors.
    """
    import pickle

    import torch

    if not path.is_file():
        raise EarthSignalsError(f"{path} does not exist: run the train stage, or `dvc pull` it")
    # torch.save writes a zip archive; a bare pickle is refused before anything reads it.
    if not zipfile.is_zipfile(path):
        raise EarthSignalsError(
            f"{path} is not a checkpoint (truncated, damaged, or a pickle, which is never loaded): "
            "fetch it again with `dvc pull`, or train again"
        )
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        reason = "holds objects other than tensors and plain values, which are never loaded"
        remedy = "use a checkpoint written by earthsignals"
    except Exception as error:
        reason = f"is damaged ({str(error).splitlines()[0][:120] if str(error) else repr(error)})"
        remedy = "fetch it again with `dvc pull`, or train again"
    raise EarthSignalsError(f"{path} {reason}: {remedy}")


def _check_archive(path: Path) -> None:
    """Compare every member with its CRC: torch itself does not, and would return flipped bits."""
    with zipfile.ZipFile(path) as archive:
        if (broken := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"checksum of {broken} does not match")


def _plain(value: Any, path: Path, where: str) -> Any:
    """Copy ``value`` in canonical form: contiguous CPU tensors of their own, tuples as lists."""
    import torch

    if isinstance(value, torch.Tensor):
        # A fresh tensor: a view would drag its whole storage into the file.
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, path, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, path, f"{where}.{key}") for key, item in value.items()}
    raise EarthSignalsError(
        f"{path}: {where} is a {type(value).__name__}; a checkpoint holds only text, numbers, "
        "lists, dictionaries and tensors (convert numpy values with .tolist() or torch.from_numpy)"
    )
