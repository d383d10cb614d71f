"""A forward model for scans that the simulator did not make, calibrated on their training split.

The power curve of a foreign instrument is unknown, but where T, P and x are known the absorption can be
divided out: the mean of ln I + A over the training scans is the log of power times baseline. What is
left after a smooth fit per scan gives the white noise. Everything else is as declared in
`tdlas.instrument`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from earthsignals.params import validate
from earthsignals.tdlas import noise
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.emulator import build_emulator
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import (
    GasParams,
    InstrumentParams,
    LaserParams,
    LinesParams,
    TdlasParams,
)
from earthsignals.tdlas.scan import ScanGrid, fringe_basis, fringe_scale
from earthsignals.tdlas.simulate import Simulator, make_simulator

CALIBRATION_SCANS = 2000


def simulator_for(file: ScanFile, lines: LineList, params: TdlasParams) -> Simulator:
    """The simulator behind a scan file: the one that made it, or one calibrated on measured scans."""
    if file.simulated:
        return _rebuilt(file, lines)
    return _calibrated(file, lines, params)


def _rebuilt(file: ScanFile, lines: LineList) -> Simulator:
    stored = json.loads(file.attributes["params"])
    models = {
        "lines": LinesParams, "gas": GasParams, "laser": LaserParams, "instrument": InstrumentParams,
    }  # fmt: skip
    parts = [
        validate(model, stored[name], source=str(file.path), prefix=name)
        for name, model in models.items()
    ]
    return make_simulator(lines, *parts, seed=int(file.attributes["seed"]))


def _calibrated(file: ScanFile, lines: LineList, params: TdlasParams) -> Simulator:
    gas = params.gas.model_copy(update={"path_cm": file.path_cm})
    instrument = params.instrument
    rows = file.rows("train")[:CALIBRATION_SCANS]
    scans = file.read(rows)
    known = np.isfinite(scans.conditions.mole_fraction) & (scans.flags == 0)
    signal, conditions = scans.signal[known].astype(np.float64), scans.conditions[known]
    emulator = build_emulator(file.nu, lines, gas, instrument.jitter)
    absorbance = emulator.absorbance(
        conditions.temperature_k, conditions.pressure_atm, conditions.mole_fraction,
        np.zeros(len(conditions)),
    )  # fmt: skip
    log_power = np.log(np.maximum(signal, 1e-6)) + absorbance
    power = np.exp(log_power.mean(axis=0))
    instrument = instrument.model_copy(
        update={"white": white_level(signal), "shot": 0.0, "rin": 0.0}
    )
    grid = ScanGrid(
        window=file.window, time=file.handle["t"][:], nu=file.nu, half_nu=file.nu,
        half_power=power, mirrored=False,
    )  # fmt: skip
    # One stored sample is one raw sample: the noise level was measured on what is stored.
    laser = params.laser.model_copy(
        update={
            "samples_per_scan": file.samples,
            "sampling_rate_hz": file.samples * params.laser.drive_frequency_hz,
        }
    )
    return Simulator(
        gas=gas, laser=laser, instrument=instrument, sampling="log-uniform",
        seed=params.dataset.seed, grid=grid, emulator=emulator,
        fringes=fringe_basis(grid, grid.half_nu, instrument), fringe_std=fringe_scale(instrument),
        response=None, flicker_amplitudes=noise.flicker_spectrum(laser, instrument),
    )  # fmt: skip


def white_level(signal: np.ndarray) -> float:
    """Standard deviation of white noise in signals (B, M), by fourth differences.

    The fourth difference of a smooth trace vanishes, and that of white noise has 70 times its
    variance (the sum of squared binomial coefficients); the median keeps line centres out.
    """
    differences = np.diff(signal, n=4, axis=1)
    return float(np.median(np.abs(differences)) / 0.6744897502 / np.sqrt(70.0))


def with_noise(simulator: Simulator, instrument: InstrumentParams) -> Simulator:
    """The same simulator with another instrument: its fringes and flicker spectrum are made anew."""
    return replace(
        simulator, instrument=instrument,
        fringes=fringe_basis(simulator.grid, simulator.grid.half_nu, instrument),
        fringe_std=fringe_scale(instrument),
        flicker_amplitudes=noise.flicker_spectrum(simulator.laser, instrument),
    )  # fmt: skip
