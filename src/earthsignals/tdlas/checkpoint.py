"""What a network's file carries and which scans it may be used on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.model import FilterNet
from earthsignals.tdlas.params import TdlasParams
from earthsignals.training import load_checkpoint, save_checkpoint

KIND = "tdlas"
LEVEL_SCANS = 4096
NU_TOLERANCE = 2e-4  # cm-1, far below a line width and above the rounding of CSV files


class MismatchError(EarthSignalsError):
    """Scans that the model was not made for."""


@dataclass(frozen=True)
class ScanDescription:
    """The scans a model was trained on: axis nu (M,) [cm-1], window, path and the lines' hash.

    `ranges` are the lowest and highest T [K], P [atm] and xi [1]; `level` is the median over the axis of
    the mean training trace, to which foreign scans are scaled before prediction.
    """

    nu: np.ndarray
    window: tuple[float, float]
    path_cm: float
    lines_sha256: str
    ranges: dict[str, tuple[float, float]]
    level: float

    def check(self, other: ScanDescription | ScanFile, where: str) -> None:
        """Raise MismatchError unless `other` has the same sampling, window and path."""
        if len(other.nu) != len(self.nu):
            fault = f"{len(other.nu)} samples per scan, the model expects {len(self.nu)}"
        elif not np.allclose(other.window, self.window, atol=NU_TOLERANCE, rtol=0):
            fault = f"the window {_span(other.window)} cm-1, the model expects {_span(self.window)}"
        elif abs(other.path_cm - self.path_cm) > 1e-6 * self.path_cm:
            fault = f"a path of {other.path_cm:g} cm, the model expects {self.path_cm:g} cm"
        elif np.abs(other.nu - self.nu).max() > NU_TOLERANCE:
            worst = float(np.abs(other.nu - self.nu).max())
            fault = f"samples up to {worst:.2g} cm-1 away from where the model expects them"
        else:
            return
        raise MismatchError(
            f"{where} has {fault}; train a model on scans of this kind "
            "(tdlas.dataset.source and tdlas.lines/gas/laser in params.yaml) or use the scans it was "
            "made for."
        )


def _span(window: tuple[float, float]) -> str:
    return f"{window[0]:.3f} .. {window[1]:.3f}"


def describe_scans(file: ScanFile) -> ScanDescription:
    """Axis, path, line hash, conditions and signal level of the training scans of a file."""
    inside = file.rows("train")
    ranges = {}
    for name in ("T", "P", "xi"):
        values = file.handle[name][:][inside]
        values = values[np.isfinite(values)]
        ranges[name] = (float(values.min()), float(values.max()))
    scans = file.read(inside[:LEVEL_SCANS])
    level = float(np.median(scans.signal[scans.flags == 0].mean(axis=0, dtype=np.float64)))
    lines = str(file.attributes["lines_sha256"])
    return ScanDescription(file.nu, file.window, file.path_cm, lines, ranges, level)


@dataclass(frozen=True)
class LoadedNet:
    """A network with the description of the scans it is for."""

    model: FilterNet
    scans: ScanDescription
    path: Path
    params: dict[str, Any]

    def check(self, file: ScanFile) -> None:
        """Raise MismatchError unless the scans of `file` are of the model's kind."""
        self.scans.check(file, str(file.path))


def save_filter_net(
    path: Path, model: FilterNet, params: TdlasParams, scans: ScanDescription
) -> None:
    """Write weights, preprocessing constants, parameters and line hash, atomically."""
    import torch

    architecture = {
        "samples": model.mean_log.shape[0],
        "filters": model.filters.shape[0],
        "exponents": model.exponents.tolist(),
        "gas_exponents": model.gas_exponents.tolist(),
        "polish_steps": model.polish_steps,
        **model.shape,
    }
    payload = {
        "architecture": architecture,
        "params": params.model_dump(mode="json"),
        "nu": torch.from_numpy(np.asarray(scans.nu)),
        "window": list(scans.window),
        "path_cm": scans.path_cm,
        "lines_sha256": scans.lines_sha256,
        "ranges": {name: list(limits) for name, limits in scans.ranges.items()},
        "level": scans.level,
    }
    save_checkpoint(path, KIND, model.state_dict(), payload)


def load_filter_net(path: Path) -> LoadedNet:
    """Read a network without unpickling. Raises EarthSignalsError naming what is wrong with it."""
    content = load_checkpoint(Path(path), KIND)
    try:
        model = FilterNet(**content["architecture"])
        model.load_state_dict(content["state_dict"])
        scans = ScanDescription(
            content["nu"].numpy(), tuple(content["window"]), content["path_cm"],
            content["lines_sha256"], {k: tuple(v) for k, v in content["ranges"].items()},
            content["level"],
        )  # fmt: skip
    except (KeyError, TypeError, RuntimeError) as error:
        raise EarthSignalsError(
            f"{path} does not hold a FilterNet as this version builds it "
            f"({str(error).splitlines()[0][:90]}): train again with `dvc repro tdlas-train`."
        ) from None
    return LoadedNet(model.eval(), scans, Path(path), content["params"])
