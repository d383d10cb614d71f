"""A finished map as files: its header, whether it is there already, how it takes its name, its log.

The header names the model with its hash, and holds a key of flightline, model and mode, so that a map
never passes for one of another model, and is not computed a second time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from earthsignals import __version__
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.imagery.envi import (
    check_size,
    envi_header,
    find_pair,
    header_path,
    read_header,
    write_header,
)
from earthsignals.plume.imagery.flightline import Flightline, FlightlineError
from earthsignals.plume.saliency.cog import write_cog
from earthsignals.storage import EarthSignalsError, atomic_path, md5_file

SUFFIX = "_saliency"
BAND_NAME = "Methane plume saliency"
_KEY, _MODEL, _THRESHOLD = "saliency key", "saliency model md5", "saliency threshold"
_FLIGHTLINE = "saliency flightline md5"


def digest(*parts: Any) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity(scene: Flightline, model: SaliencyModel, mode: str) -> dict[str, Any]:
    """What decides a map's values up to rounding: bytes of the image, band, model and mode.

    Bytes and not dates: a copy, a `touch` or a checkout leaves a flightline what it was.
    """
    return {
        "flightline": md5_file(scene.path),
        "header": header_md5(scene),
        "band": scene.band,
        "model": model.md5 or _weights_md5(model.network),
        "preprocessing": model.preprocessing.to_dict(),
        "temperature": model.temperature,
        "mode": mode,
    }


def header_md5(scene: Flightline) -> str | None:
    """Hash of the ENVI header's bytes; None for a GeoTIFF, which has its header inside."""
    if scene.path.suffix.lower() in (".tif", ".tiff"):
        return None
    return md5_file(find_pair(scene.path)[1])


def map_header(scene: Flightline, model: SaliencyModel, mode: str, same: dict[str, Any]) -> str:
    """Text of the map's ENVI header. Raises FlightlineError for a georeference that ENVI cannot express."""
    description = (
        f"Probability of a methane plume around each pixel of {scene.path.name}, by {model.name} "
        f"({model.architecture}, window {model.window}, md5 {same['model']}), mode {mode}, temperature "
        f"{model.temperature:.6g}, earthsignals {__version__}"
    )
    fields = {_KEY: digest(same), _MODEL: same["model"], _THRESHOLD: repr(float(model.threshold))}
    fields[_FLIGHTLINE] = same["flightline"]
    return envi_header(
        (1, *scene.shape), "float32", like=scene, band_names=[BAND_NAME], nodata=-9999.0,
        description=description.translate({ord("{"): "(", ord("}"): ")"}), fields=fields,
    )  # fmt: skip


def model_of_map(path: Path) -> tuple[str, float | None]:
    """MD5 of the model that made the map at `path` and its threshold; ("", None) for a map of others."""
    with suppress(FlightlineError):
        fields = read_header(find_pair(path)[1]).fields
        with suppress(ValueError):
            return fields.get(_MODEL, ""), float(fields.get(_THRESHOLD, ""))
    return "", None


def check_belongs(path: Path, flightline: Path) -> None:
    """Raise FlightlineError where the map at `path` says that it is of another image than `flightline`."""
    with suppress(FlightlineError):
        made_of = read_header(find_pair(path)[1]).fields.get(_FLIGHTLINE)
        if made_of is None or made_of == md5_file(find_pair(flightline)[0]):
            return
        raise EarthSignalsError(
            f"{path}: this map was made of another image than {flightline} (their md5s differ); give the map "
            "of this flightline, or leave --saliency away to have it made"
        )


def is_there(target: Path, same: dict[str, Any]) -> bool:
    """Is `target` a whole map of just this identity?"""
    with suppress(FlightlineError):
        header = read_header(header_path(target))
        if target.is_file() and header.fields.get(_KEY) == digest(same):
            check_size(target, header)
            return True
    return False


def publish(finished: Path, target: Path, header: str, cog: bool) -> None:
    """Give the finished binary its name, with header and, if wished, a COG beside it.

    The old header goes first and the new one comes last: a binary without header is refused by every
    reader, so no moment shows a map under another's description.
    """
    tif = target.with_suffix(".tif")
    if cog:
        write_header(finished, header)
        write_cog(finished, finished.with_suffix(".tif"))
    remove(target)
    _move(finished, target)
    if cog:
        _move(finished.with_suffix(".tif"), tif)
    write_header(target, header)


def remove(target: Path) -> None:
    """Take a map away, and what belongs to it: header, COG, log, and the statistics GDAL keeps beside it."""
    tif = target.with_suffix(".tif")
    for path in (header_path(target), target, target.with_suffix(".json"), tif):
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def run_record(
    scene: Flightline, model: SaliencyModel, mode: str, batch: int, same: dict[str, Any]
) -> dict[str, Any]:
    """What a log says of image and model."""
    return {
        "flightline": str(scene.path),
        "flightline_md5": same["flightline"],
        "header_md5": same["header"],
        "lines": scene.shape[0],
        "samples": scene.shape[1],
        "band": f"{scene.band} {scene.band_names[scene.band - 1]}",
        "model": model.name,
        "model_file": str(model.path) if model.path else None,
        "model_md5": same["model"],
        "architecture": model.architecture,
        "window": model.window,
        "preprocessing": model.preprocessing.to_dict(),
        "temperature": model.temperature,
        "threshold": model.threshold,
        "mode": mode,
        "batch": batch if mode == "sliding" else None,
        "torch": torch.__version__,
        "version": __version__,
    }


def prepare_folder(out: Path) -> Path:
    """The output folder, made if need be. Raises EarthSignalsError unless files can be made in it."""
    probe = out / f".{os.getpid()}.partial"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        fault = "is a file" if out.is_file() else f"cannot be written ({error.strerror})"
        raise EarthSignalsError(f"{out} {fault}: choose a folder of yours with --output") from None
    return out


def _move(source: Path, target: Path) -> None:
    """Rename; across file systems, copy and then rename."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def _weights_md5(network: torch.nn.Module) -> str:
    """Of a network that came from no file."""
    found = hashlib.md5(usedforsecurity=False)
    for name, value in sorted(network.state_dict().items()):
        found.update(name.encode())
        found.update(value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def names(devices: Sequence[torch.device]) -> list[str]:
    """Devices as a log says them."""
    return [torch.cuda.get_device_name(d) + f" ({d})" if d.type == "cuda" else str(d) for d in devices]
