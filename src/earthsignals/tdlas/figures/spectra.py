"""Spectra over the range of conditions, and the four traces of one scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from earthsignals.figures import COLOURS, COLUMN_WIDTH, columns
from earthsignals.results import MissingData
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.scan import drive, power
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 1501
SHOWN_PPM = 10_000.0  # strong enough to see in a scan, weak enough to stay unsaturated


def spectra(
    lines: LineList, params: TdlasParams, window: tuple[float, float], path_cm: float
) -> Figure:
    """Absorbance over the window at several temperatures, pressures and mole fractions.

    Each is varied alone over its simulated range, by the direct Voigt sum; the other two stay at the
    middle (the mole fraction at 1 %, or the top of its range if that is less).
    """
    gas, nu = params.gas, np.linspace(*window, POINTS)
    high = gas.mole_fraction_ppm.high
    middle = Gas(
        gas.temperature_k.middle, gas.pressure_atm.middle, min(SHOWN_PPM, high) * PPM,
        gas.water_mole_fraction,
    )  # fmt: skip
    figure, axes = columns(3, row_height=2.7)
    t, p = gas.temperature_k, gas.pressure_atm
    steps = {
        "temperature_k": ([t.low, t.middle, t.high], lambda v: f"{v:.0f} K"),
        "pressure_atm": ([p.low, p.middle, p.high], lambda v: f"{v:.2f} atm"),
        "mole_fraction": (
            [f * PPM for f in _powers_of_ten(gas.mole_fraction_ppm.low, high)],
            lambda v: f"{v / PPM:,.0f} ppm",
        ),
    }
    held = {
        "temperature_k": f"{middle.temperature_k:.0f} K", "pressure_atm": f"{middle.pressure_atm:.2f} atm",
        "mole_fraction": f"{middle.mole_fraction / PPM:,.0f} ppm",
    }  # fmt: skip
    for panel, (name, (values, text)) in zip(axes, steps.items(), strict=True):
        for value, colour in zip(values, _shades(len(values)), strict=True):
            state = Gas(**{**vars(middle), name: value})
            absorbance = absorption_coefficient(nu, lines, state, gas) * path_cm
            panel.plot(nu, absorbance, color=colour, linewidth=0.9, label=text(value))
        panel.set_title(
            ", ".join(v for k, v in held.items() if k != name), loc="left"
        )
        panel.set(xlabel="wavenumber (cm⁻¹)", xlim=window)
        if name != "mole_fraction":  # closer around the strongest feature, where the curves differ
            panel.set_xlim(_around(nu[int(np.argmax(absorbance))], window))
        _plain_wavenumbers(panel)
    for panel in axes[:2]:
        panel.set_ylim(0, 1.38 * panel.dataLim.y1)
        panel.legend(loc="upper right")
    axes[2].set_yscale("log")
    low, top = axes[2].dataLim.minposy, axes[2].dataLim.y1
    axes[2].set_ylim(low, top * (top / low) ** 0.42)  # room for the legend above the lines
    axes[2].legend(loc="upper right", ncols=2, columnspacing=1.0)
    axes[0].set_ylabel(f"absorbance over {path_cm:g} cm")
    return figure


def scan(file: ScanFile, lines: LineList, params: TdlasParams) -> Figure:
    """One scan of the test split against time: wavenumber, laser power, absorbance, detector signal.

    Of the unflagged labelled scans the one nearest 1 % is taken. Absorbance is the direct Voigt sum
    at its gas state. The power curve is the simulator's; for measured scans, whose power nobody
    declared, it is the signal with the absorption divided out.

    Raises MissingData where no scan of the test split is labelled.
    """
    scans = file.read(file.rows("test"))
    x = scans.conditions.mole_fraction
    usable = (scans.flags == 0) & (x > 0)
    if not usable.any():
        raise MissingData("no scan of the test split has a known mole fraction and no flag")
    distance = np.where(
        usable, np.abs(np.log(np.where(usable, x, 1.0) / (SHOWN_PPM * PPM))), np.inf
    )
    row = int(np.argmin(distance))
    signal = scans.signal[row].astype(float)
    state = Gas(
        float(scans.conditions.temperature_k[row]), float(scans.conditions.pressure_atm[row]), float(x[row]),
        params.gas.water_mole_fraction,
    )  # fmt: skip
    absorbance = absorption_coefficient(file.nu, lines, state, params.gas) * file.path_cm
    time = np.asarray(file.handle["t"][:])
    incident = signal * np.exp(absorbance)
    if file.simulated:
        incident = power(drive(time, params.laser), params.laser)

    figure, panels = columns(1, rows=4, row_height=1.15)
    figure.set_size_inches(COLUMN_WIDTH, 5.9)
    panels[0].get_gridspec().set_height_ratios([1, 1, 1, 1.6])  # the last holds a magnified part
    ms = 1e3 * time
    traces = (
        (file.nu, "wavenumber\n(cm⁻¹)", COLOURS["black"]),
        (incident, "laser power\n(mid-scan = 1)", COLOURS["green"]),
        (absorbance, "absorbance", COLOURS["vermillion"]),
        (signal, "detector signal\n(mid-scan = 1)", COLOURS["blue"]),
    )
    for panel, (values, label, colour) in zip(panels, traces, strict=True):
        panel.plot(ms, values, color=colour, linewidth=0.9)
        panel.set(ylabel=label, xlim=(0, ms[-1] + ms[0]))
        panel.yaxis.get_major_formatter().set_useOffset(False)
        _sweeps(panel, ms, file.nu)
        if panel is not panels[-1]:
            panel.tick_params(labelbottom=False)
    figure.align_ylabels(panels)
    panels[-1].set_xlabel("time (ms)")
    panels[0].set_title(
        f"{state.mole_fraction / PPM:,.0f} ppm, {state.temperature_k:.1f} K, {state.pressure_atm:.3f} atm",
        loc="right",
    )
    _magnify(panels[-1], ms, signal)
    return figure


def _sweeps(panel: Axes, ms: np.ndarray, nu: np.ndarray) -> None:
    """Shade the upward sweep where the axis turns once."""
    turn = int(np.argmin(nu))
    if 0 < turn < len(nu) - 1:
        panel.axvspan(ms[turn], panel.get_xlim()[1], color=COLOURS["sky"], alpha=0.13, linewidth=0)
        if panel.get_subplotspec().is_first_row():
            for side, text in ((0.30, "down"), (0.70, "up")):
                panel.text(side, 0.90, text, transform=panel.transAxes, ha="center", va="top")


def _magnify(panel: Axes, ms: np.ndarray, signal: np.ndarray) -> None:
    """An inset with a fiftieth of the scan, chosen where the trace is smoothest: its noise."""
    width = max(8, len(signal) // 50)
    starts = np.arange(len(signal) // 20, len(signal) - width, max(1, width // 2))
    spread = [np.ptp(signal[s : s + width]) for s in starts]
    first = int(starts[int(np.argmin(spread))])
    part = slice(first, first + width)
    low, high = signal.min(), signal.max()
    panel.set_ylim(low - 1.25 * (high - low), high + 0.08 * (high - low))
    inset = panel.inset_axes([0.37, 0.24, 0.27, 0.27])
    inset.plot(ms[part], 1e3 * (signal[part] - signal[part].mean()), ".-", color=COLOURS["blue"],
               linewidth=0.5, markersize=1.5)  # fmt: skip
    inset.set_ylabel("noise\n(10⁻³)", fontsize=6)
    inset.set_xlabel("ms", fontsize=6, labelpad=0)
    inset.tick_params(labelsize=6, pad=1)
    inset.xaxis.get_major_formatter().set_useOffset(False)
    panel.plot(ms[part], signal[part], color=COLOURS["black"], linewidth=2.0)
    panel.set_yticks([tick for tick in panel.get_yticks() if low - 0.1 < tick < high + 0.1])


def _around(centre: float, window: tuple[float, float]) -> tuple[float, float]:
    """Half of the window, about `centre` where it fits."""
    half = 0.25 * (window[1] - window[0])
    middle = min(max(centre, window[0] + half), window[1] - half)
    return middle - half, middle + half


def _powers_of_ten(low: float, high: float) -> list[float]:
    """Up to four powers of ten within [low, high], ending with `high`."""
    powers = [10.0**k for k in range(int(np.ceil(np.log10(low))), int(np.ceil(np.log10(high))))]
    return [*powers[-3:], high]


def _shades(count: int) -> np.ndarray:
    """Colours (count, 4) from dark to light for values in order."""
    import matplotlib as mpl

    return mpl.colormaps["cividis"](np.linspace(0.0, 0.82, count))


def _plain_wavenumbers(panel: Axes) -> None:
    panel.xaxis.get_major_formatter().set_useOffset(False)
    panel.locator_params(axis="x", nbins=4)
