"""Latency per scan of every method, side by side on one thread.

    python benchmarks/tdlas_predict.py --quick

Least squares is ours (scipy's Levenberg-Marquardt on the emulator with analytic derivatives), already
far faster than a fit that sums Voigt lines in every iteration. The network is timed scan by scan and in
batches, in torch and under ONNX Runtime. Networks and tables are made on the spot: latency does not
depend on how well they were trained. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from earthsignals.params import load_section
from earthsignals.storage import write_json
from earthsignals.tdlas.baselines import fit_ridge
from earthsignals.tdlas.bound import fit_stabiliser, forward_model
from earthsignals.tdlas.checkpoint import describe_scans, load_filter_net, save_filter_net
from earthsignals.tdlas.dataset import generate, open_scans
from earthsignals.tdlas.evaluate import predict_net
from earthsignals.tdlas.export import export_onnx, load_onnx
from earthsignals.tdlas.hitran import collect_lines
from earthsignals.tdlas.least_squares import fit_scan
from earthsignals.tdlas.measured import simulator_for
from earthsignals.tdlas.model import CourseNet
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.train import initial_model, make_filters, read_labelled
from earthsignals.tracking import describe_machine

BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer scans; ends within a minute")
    parser.add_argument("--report", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        result = measure(scans=60 if options.quick else 300, repeats=5 if options.quick else 20)
    print(f"{'method':<28}{'ms per scan':>12}")
    for name, value in result["latency_ms"].items():
        print(f"{name:<28}{value:>12.4f}")
    print(f"network (torch, batches) against least squares: {result['speedup_vs_least_squares']:.0f}x")
    if options.report:
        write_json(options.report, result)
    print(json.dumps(result))


def measure(scans: int, repeats: int) -> dict[str, object]:
    """Latencies in ms per scan; medians over `repeats` batches, the mean over `scans` fits."""
    params = load_section("tdlas", TdlasParams)
    lines = collect_lines(params.lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = params.model_copy(
            update={"dataset": params.dataset.model_copy(update={"source": "simulated", "scans": 6000})}
        )
        generate(lines, small, folder / "scans.h5", resume_root=folder / "resume", workers=1)
        with open_scans(folder / "scans.h5") as file:
            training, validation = read_labelled(file, "train"), read_labelled(file, "validation")
            bank = make_filters(file, lines, params, training)
            model = initial_model(training, validation, bank, params.train)
            save_filter_net(folder / "best_model.pt", model, params, describe_scans(file))
            forward = forward_model(simulator_for(file, lines, params))
            test = file.read(file.rows("test")[: max(scans, BATCH)])
            samples = file.samples
        net = load_filter_net(folder / "best_model.pt")
        export_onnx(net, folder / "model.onnx")
        onnx, _, _ = load_onnx(folder / "model.onnx", threads=1)
        ridge = fit_ridge(training, validation, fit_stabiliser(forward), params.baselines)
    course = CourseNet(samples, params.course.dropout).eval()

    signal, c = test.signal[:BATCH], test.conditions[:BATCH]
    one, one_c = signal[:1], c[:1]
    state = [torch.from_numpy(v.astype(np.float32)) for v in (c.temperature_k, c.pressure_atm)]

    def course_batch() -> None:
        with torch.no_grad():
            course(torch.from_numpy(signal), *state)

    latency = {
        "least squares": _fits(forward, test, scans),
        "course CNN, batches": _median(course_batch, max(1, repeats // 5)) / len(signal),
        "ridge, batches": _median(lambda: ridge.predict(signal, c), repeats) / len(signal),
        "network torch, batches": _median(lambda: predict_net(net, signal, c), repeats) / len(signal),
        "network torch, one by one": _median(lambda: predict_net(net, one, one_c), 10 * repeats),
        "network ONNX, batches": _median(lambda: onnx(signal, c), repeats) / len(signal),
        "network ONNX, one by one": _median(lambda: onnx(one, one_c), 10 * repeats),
    }
    fit = latency["least squares"]
    return {
        "speedup_vs_least_squares": fit / latency["network torch, batches"],
        "speedup_vs_least_squares_one_by_one": fit / latency["network ONNX, one by one"],
        "latency_ms": latency,
        "batch": BATCH,
        "threads": 1,
        "machine": describe_machine(),
    }


def _fits(forward, test, scans: int) -> float:
    c = test.conditions
    started = time.perf_counter()
    for row in range(scans):
        fit_scan(forward, test.signal[row].astype(float), c.temperature_k[row], c.pressure_atm[row])
    return (time.perf_counter() - started) / scans * 1e3


def _median(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of one call, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    main()
