"""How fast scans are made, beside HAPI's Voigt loop, measured in one run.

    python benchmarks/tdlas_generate.py [--quick] [--report reports/benchmarks/tdlas_generate.json]

HAPI computes one noise-free absorption spectrum at the 1000 wavenumbers of a scan; ours is the whole
scan: emulated absorption, fringes, power curve, detector, noise, ADC and its row in the HDF5 file. Both
are counted in CPU seconds, in turns, so that a busy machine slows both. Our share includes building the
emulator, spread over a million scans. Without --quick a million scans are really made, in a temporary
folder (4 GB), and the wall time is theirs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from earthsignals.compute.memory import peak_memory_gb
from earthsignals.settings import cpu_count, load_settings
from earthsignals.storage import write_json
from earthsignals.tdlas.dataset import generate, simulator_of
from earthsignals.tdlas.hitran import hapi
from earthsignals.tdlas.lines import LineList, embedded_lines, keep_near, read_lines
from earthsignals.tdlas.params import CourseParams, TdlasParams, TrainParams
from earthsignals.tdlas.simulate import Simulator
from earthsignals.tdlas.voigt import Gas, absorption_coefficient
from earthsignals.tracking import describe_machine

ROOT = Path(__file__).resolve().parents[1]
FULL_LIST = Path("tdlas") / "CH4_4383_4386.data"
MILLION = 1_000_000
ROUNDS = 3


def parameters(scans: int, chunk: int = 2048) -> TdlasParams:
    """Default instrument and gas, `scans` scans."""
    dataset = {"scans": scans, "chunk_scans": chunk}
    return TdlasParams(train=TrainParams(), course=CourseParams(), dataset=dataset)


def cpu_seconds() -> float:
    """CPU seconds of this process and of its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of `work`."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return cpu_seconds() - cpu, time.perf_counter() - wall


class Candidate:
    """One way to make spectra: its CPU seconds over several rounds."""

    def __init__(self, label: str, work: Callable[[int], object], count: int) -> None:
        self.label, self.work, self.count = label, work, count
        self.cpu = self.made = 0.0

    def round(self) -> None:
        self.cpu += timed(lambda: self.work(self.count))[0]
        self.made += self.count

    @property
    def milliseconds(self) -> float:
        return 1e3 * self.cpu / self.made


def hapi_loop(lines: LineList, nu: np.ndarray, states: np.ndarray) -> Callable[[int], None]:
    """HAPI's Voigt sum over `lines` at `nu`, one gas state after another."""
    module, name = hapi(), f"benchmark_{len(lines)}"
    columns = {
        "molec_id": "molecule", "local_iso_id": "isotopologue", "nu": "nu", "sw": "intensity",
        "gamma_air": "gamma_air", "gamma_self": "gamma_self", "elower": "lower_energy",
        "n_air": "n_air", "delta_air": "delta_air",
    }  # fmt: skip
    data = {theirs: getattr(lines, ours).tolist() for theirs, ours in columns.items()}
    module.LOCAL_TABLE_CACHE[name] = {"header": {"number_of_rows": len(lines)}, "data": data}

    def work(count: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            for t, p, x in states[:count].tolist():
                module.absorptionCoefficient_Voigt(
                    SourceTables=name, WavenumberGrid=nu, Environment={"T": t, "p": p},
                    Diluent={"air": 1 - x, "self": x}, HITRAN_units=False, WavenumberWing=50.0,
                )  # fmt: skip

    return work


def direct_loop(lines: LineList, nu: np.ndarray, states: np.ndarray) -> Callable[[int], None]:
    """Our direct Voigt sum, the emulator's reference."""
    gas = parameters(100).gas

    def work(count: int) -> None:
        for t, p, x in states[:count].tolist():
            absorption_coefficient(nu, lines, Gas(t, p, x), gas)

    return work


def generation(lines: LineList, simulator: Simulator, folder: Path) -> Callable[[int], None]:
    """Our whole generation in this process, down to the HDF5 file; the emulator is built before."""

    def work(count: int) -> None:
        path, resume = folder / "d.h5", folder / "resume"
        generate(lines, parameters(count), path, resume_root=resume, workers=1, simulator=simulator)

    return work


def emulator_error(simulator: Simulator, lines: LineList, states: np.ndarray) -> float:
    """Largest difference between emulator and direct sum on the nominal axis, relative to the peak."""
    worst, nu, gas = 0.0, simulator.grid.half_nu, simulator.gas
    zero = np.zeros(1)
    for t, p, x in states.tolist():
        state = [np.array([v]) for v in (t, p, x)]
        emulated = simulator.emulator.absorbance(*state, zero)[0]
        direct = absorption_coefficient(nu, lines, Gas(t, p, x), gas) * gas.path_cm
        worst = max(worst, float(np.abs(emulated - direct).max() / direct.max()))
    return worst


def full_list() -> LineList | None:
    """The 406-line list of the real data, or None where it is not there."""
    path = ROOT / load_settings().real_data / FULL_LIST
    return read_lines(path) if path.is_file() else None


def measure(quick: bool, folder: Path) -> dict[str, object]:
    """All figures; `folder` takes the datasets."""
    lists = {"embedded": embedded_lines()}
    full = full_list()
    if full is not None:
        lists["full"] = full
    params = parameters(MILLION)
    window = (params.lines.window_low, params.lines.window_high)
    lists = {
        name: keep_near(lines, *window, params.lines.wing_margin, 0.0)
        for name, lines in lists.items()
    }

    # Wall time first, while this process is still small: peak memory is that of the generation.
    scans, workers = (131_072 if quick else MILLION), cpu_count()
    many = parameters(scans)
    _, wall = timed(
        lambda: generate(lists["embedded"], many, folder / "m.h5", resume_root=folder, workers=workers)
    )
    size_gb = (folder / "m.h5").stat().st_size / 1e9
    (folder / "m.h5").unlink()
    worker_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    peak_gb = peak_memory_gb() + workers * worker_gb

    draw = np.random.default_rng(0)
    states = np.stack(
        [draw.uniform(253, 323, 400), draw.uniform(0.8, 1.1, 400), 10 ** draw.uniform(-6, -1.31, 400)], 1
    )
    candidates: dict[str, Candidate] = {}
    builds: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name, lines in lists.items():
        built: list[Simulator] = []
        builds[name] = timed(lambda lines=lines, built=built: built.append(simulator_of(lines, params)))[0]
        simulator = built[0]
        nu = np.sort(simulator.grid.nu)
        errors[name] = emulator_error(simulator, lines, states[:20])
        spectra = (10 if name == "full" else 60) * (1 if quick else 4)
        label = f"{len(lines)} lines"
        candidates |= {
            f"hapi_{name}": Candidate(f"HAPI Voigt, {label}", hapi_loop(lines, nu, states), spectra),
            f"direct_{name}": Candidate(f"our Voigt, {label}", direct_loop(lines, nu, states), spectra),
        }
        candidates[f"ours_{name}"] = Candidate(
            f"whole scans, {label}", generation(lines, simulator, folder), 16_384 if quick else 65_536
        )
    for _ in range(ROUNDS):
        for candidate in candidates.values():
            candidate.round()

    table = {key: (c.label, c.milliseconds) for key, c in candidates.items()}
    speedups: dict[str, float | None] = {"full": None, "embedded": None}
    for name, build in builds.items():
        ours = candidates[f"ours_{name}"]
        each = ours.cpu / ours.made + build / MILLION
        table[f"ours_{name}"] = (ours.label, 1e3 * each)
        speedups[name] = candidates[f"hapi_{name}"].milliseconds / (1e3 * each)
    for label, ms in table.values():
        print(f"{label:<32} {ms:12.4f} CPU ms each {1e3 / ms:14.1f} per CPU second")
    for name, speedup in speedups.items():
        shown = f"{speedup:,.0f} x" if speedup else f"not measured: no {FULL_LIST} in the real data"
        print(f"{'speed-up over HAPI, ' + name:<32} {shown}")
    print(f"{scans:,} scans with {workers} workers: {wall:.1f} s, {size_gb:.2f} GB, RAM {peak_gb:.2f} GB")
    return {
        "speedup_vs_hapi_full": speedups["full"],
        "speedup_vs_hapi_embedded": speedups["embedded"],
        "max_rel_error": max(errors.values()),
        "scans_per_s": scans / wall,
        "peak_gb": peak_gb,
        "seconds_per_million": wall * MILLION / scans,
        "million_measured": not quick,
        "cpu_ms": {key: ms for key, (_, ms) in table.items()},
        "build_cpu_s": builds,
        "workers": workers,
        "machine": describe_machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer scans: under a minute on 2 cores")
    parser.add_argument("--report", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    # One BLAS thread in this process, as in each worker: CPU seconds are then those of the work.
    with tempfile.TemporaryDirectory(prefix="tdlas-generate-") as folder, threadpool_limits(1):
        figures = measure(arguments.quick, Path(folder))
    if arguments.report:
        write_json(arguments.report, figures)
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main()
