"""Single simulated spectra as CSV files in the course's naming, for looking at and for other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earthsignals.compute.mapping import progress
from earthsignals.storage import atomic_path
from earthsignals.tdlas.dataset import simulator_of
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.simulate import PPM, Conditions, Simulator


def dump(params: TdlasParams, lines: LineList, n: int, out: Path) -> list[Path]:
    """Write the first `n` scans of the dataset as `TTT-P_P-LLLL-XXXXX.csv`; returns their paths.

    T [K], P [atm, "_" for the point], path [cm] and mole fraction [ppm] stand in the name, exactly in
    the comments above the columns t_s, nu_cm-1, absorbance (noise-free) and I_t (mid-scan power). Names
    that collide get a number.
    """
    simulator = simulator_of(lines, params)
    indices = np.arange(n)
    conditions = simulator.draw_conditions(indices)
    counts = simulator.measure(indices, conditions, simulator.draw_nuisances(indices))
    paths: list[Path] = []
    with progress("writing spectra", n, "spectra") as bar:
        for row in range(n):
            path = _free(out / f"{_name(conditions, row, params.gas.path_cm)}.csv", paths)
            _write(path, simulator, conditions[row : row + 1], counts[row], lines)
            paths.append(path)
            bar.advance()
    return paths


def _name(c: Conditions, row: int, path_cm: float) -> str:
    pressure = f"{c.pressure_atm[row]:.1f}".replace(".", "_")
    ppm = round(float(c.mole_fraction[row] / PPM))
    return f"{round(float(c.temperature_k[row])):03d}-{pressure}-{round(path_cm):04d}-{ppm:05d}"


def _free(path: Path, taken: list[Path]) -> Path:
    number, free = 2, path
    while free in taken:
        free = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return free


def _write(
    path: Path, simulator: Simulator, c: Conditions, counts: np.ndarray, lines: LineList
) -> None:
    grid = simulator.grid
    state = (c.temperature_k, c.pressure_atm, c.mole_fraction, np.zeros(1))
    absorbance = grid.fold(simulator.emulator.absorbance(*state))[0]
    columns = np.stack([grid.time, grid.nu, absorbance, counts * simulator.lsb], axis=1)
    head = (
        f"# temperature_k: {c.temperature_k[0]:.3f}\n# pressure_atm: {c.pressure_atm[0]:.5f}\n"
        f"# mole_fraction_ppm: {c.mole_fraction[0] / PPM:.6g}\n# path_cm: {simulator.gas.path_cm:g}\n"
        f"# lines_sha256: {lines.sha256()}\nt_s,nu_cm-1,absorbance,I_t\n"
    )
    with atomic_path(path) as temporary, open(temporary, "w") as stream:
        stream.write(head)
        np.savetxt(stream, columns, fmt=("%.9g", "%.10g", "%.9g", "%.9g"), delimiter=",")
