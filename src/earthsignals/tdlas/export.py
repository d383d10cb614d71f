"""ONNX export with the preprocessing inside the graph, checked against torch under ONNX Runtime."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.tdlas.checkpoint import LoadedNet, ScanDescription
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.evaluate import OUTPUTS, predict_net
from earthsignals.tdlas.simulate import Conditions

INPUTS = ("signal", "temperature_k", "pressure_atm")
TOLERANCE = 1e-4
METADATA_KEY = "earthsignals.tdlas"
Predictor = Callable[[np.ndarray, Conditions], dict[str, np.ndarray]]


def export_onnx(net: LoadedNet, out: Path) -> None:
    """Write `out` atomically: signal (B, M), T (B,), P (B,) float32 to six outputs (B,) float64."""
    import onnx

    samples = len(net.scans.nu)
    example = (torch.ones(2, samples), torch.full((2,), 290.0), torch.full((2,), 1.0))
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    with torch.no_grad(), _quiet_exporter():
        program = torch.onnx.export(
            net.model, example, dynamo=True, input_names=list(INPUTS), output_names=list(OUTPUTS),
            dynamic_shapes=({0: batch}, {0: batch}, {0: batch}), verbose=False,
        )  # fmt: skip
    proto = program.model_proto
    described = {
        "nu": net.scans.nu.tolist(), "window": list(net.scans.window), "path_cm": net.scans.path_cm,
        "lines_sha256": net.scans.lines_sha256,
        "ranges": {name: list(limits) for name, limits in net.scans.ranges.items()},
        "level": net.scans.level, "params": net.params,
        "units": {"signal": "mid-scan laser power", "ppm": "CH4 mole fraction, ppm"},
    }  # fmt: skip
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(described, sort_keys=True)})
    proto.producer_name, proto.producer_version = "earthsignals", ""
    for node in proto.graph.node:
        del node.metadata_props[:]  # source lines of this machine
    onnx.checker.check_model(proto)
    with atomic_path(out) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what no user can act upon: absent torchvision operators, torch's own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*axis name: batch will not be used.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        logger.setLevel(level)


def load_onnx(path: Path, threads: int = 2) -> tuple[Predictor, ScanDescription, dict[str, Any]]:
    """An ONNX predictor, the scans it is for and its metadata.

    Raises EarthSignalsError where the file is no network of ours.
    """
    import onnxruntime

    if not Path(path).is_file():
        raise EarthSignalsError(f"{path} does not exist: run `dvc repro tdlas-export` or `dvc pull`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        content = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        scans = ScanDescription(
            np.array(content["nu"]), tuple(content["window"]), content["path_cm"],
            content["lines_sha256"], {k: tuple(v) for k, v in content["ranges"].items()},
            content["level"],
        )  # fmt: skip
    except Exception as error:  # ONNX Runtime has no common base for what a bad file raises
        raise EarthSignalsError(
            f"{path} is no ONNX network of this pipeline ({str(error).splitlines()[0][:90]}); expected "
            "model.onnx from `dvc repro tdlas-export`."
        ) from None

    def predict(signal: np.ndarray, conditions: Conditions) -> dict[str, np.ndarray]:
        state = (conditions.temperature_k, conditions.pressure_atm)
        feeds = dict(zip(INPUTS, (signal, *(v.astype(np.float32) for v in state)), strict=True))
        return dict(zip(OUTPUTS, session.run(list(OUTPUTS), feeds), strict=True))

    return predict, scans, content


def parity(net: LoadedNet, onnx_path: Path, file: ScanFile) -> float:
    """Largest relative difference of ONNX Runtime from torch over the test split, all outputs.

    Relative to the larger of the mole fraction and its standard error, since ppm may cross zero.
    """
    predict, _, _ = load_onnx(onnx_path)
    scans = file.read(file.rows("test"))
    worst = 0.0
    for start in range(0, len(scans), 2048):
        rows = slice(start, start + 2048)
        good = scans.flags[rows] == 0
        signal, c = scans.signal[rows][good], scans.conditions[rows][good]
        if len(signal) == 0:
            continue
        ours, theirs = predict_net(net, signal, c), predict(signal, c)
        scale = np.maximum(np.abs(ours["ppm"]), ours["error_ppm"])
        worst = max(worst, *(float((np.abs(ours[n] - theirs[n]) / scale).max()) for n in OUTPUTS))
    return worst


def check_parity(difference: float) -> None:
    """Raise EarthSignalsError where ONNX and torch disagree beyond 1e-4."""
    if not difference <= TOLERANCE:
        raise EarthSignalsError(
            f"the ONNX network differs from torch by {difference:.1e} (relative), allowed {TOLERANCE:g}; "
            "do not use it. Report the versions of torch and onnxruntime (`earthsignals doctor`)."
        )
