"""What the denoiser gains, in numbers and to the eye."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import stft

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.seismic.figures.images import bare, settled, show
from earthsignals.seismic.figures.inputs import Arrays, Look, take, text

METHODS = {
    "model": Look("denoiser", house.COLOURS["blue"], "o"),
    "wiener": Look("Wiener, pre-event noise", house.COLOURS["vermillion"], "s"),
    "best_bandpass": Look("best fixed band-pass", house.COLOURS["orange"], "^"),
    "bandpass": Look("band-pass", house.COLOURS["green"], "v"),
    "oracle": Look("oracle mask", house.COLOURS["black"], "", ":"),
}
SHOWN = 3
RANGE_DB = 60.0
"""Of the spectrograms of waveforms: below it, noise of a good station is black."""
STAGES = (("clean", "clean"), ("noisy", "noise mixed in"), ("denoised", "denoised"))


def denoising(arrays: Arrays) -> Figure:
    """Gain in signal-to-noise ratio, and correlation with the clean record, over the input's ratio."""
    (inputs,) = take(arrays, "denoise/input_snr_db")
    figure, panels = house.columns(2, row_height=2.8)
    drawn = [name for name in METHODS if f"denoise/{name}/gain_db" in arrays]
    if not drawn:
        raise MissingData("the evaluation holds no gains of denoising")
    for axes, key, label in zip(
        panels, ("gain_db", "correlation"), ("gain (dB)", "correlation with the clean record"), strict=True
    ):
        for name in drawn:
            look, values = METHODS[name], arrays[f"denoise/{name}/{key}"]
            axes.fill_between(inputs, values[:, 1], values[:, 2], color=look.colour, alpha=0.15, linewidth=0)
            axes.plot(
                inputs, values[:, 0], look.line, marker=look.marker, color=look.colour, label=look.label
            )
        axes.set(xlabel="signal-to-noise ratio of the input (dB)", ylabel=label)
        axes.set_xticks(inputs)
    panels[0].axhline(0, color="0.6", lw=0.7, zorder=0)
    panels[1].set_ylim(top=1.0)
    if "denoise/noisy/correlation" in arrays:
        panels[1].plot(
            inputs, arrays["denoise/noisy/correlation"][:, 0], "--", color="0.55", label="untouched"
        )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(drawn))
    return figure


def denoising_examples(arrays: Arrays) -> Figure:
    """Waveforms and spectrograms of the vertical component: clean, with noise at 0 dB, and denoised."""
    waveforms = take(arrays, *(f"denoise/example_{stage}" for stage, _ in STAGES))
    (frequencies,) = take(arrays, "image/frequencies_hz")
    rate = 2 * float(frequencies[-1])
    count = min(SHOWN, len(waveforms[0]))
    figure, axes = house.columns(3, rows=2 * count, row_height=1.15)
    for example in range(count):
        traces, images = axes[2 * example], axes[2 * example + 1]
        vertical = [np.asarray(each[example, 2], float) for each in waveforms]
        limit = 1.05 * max(np.abs(vertical[0]).max(), np.abs(vertical[2]).max(), 1e-30)
        reference = _loudest(vertical[0], rate)
        for column, (trace, (_, label)) in enumerate(zip(vertical, STAGES, strict=True)):
            _trace(traces[column], trace, vertical[0], rate, limit, first=column == 0)
            shown = _spectrogram(images[column], trace, rate, reference)
            bare(images[column], left=column == 0, bottom=True)
            said = _about(arrays, example) if column == 0 else ""
            if column:
                ratio = _ratio_db(waveforms[0][example], waveforms[column][example], arrays)
                said = (
                    f"{ratio:.1f} dB" if column == 1 else f"{ratio:.1f} dB, r = {_r(waveforms, example):.2f}"
                )
            traces[column].set_title(f"{label}: {said}" if said else label, fontsize=7.5, loc="left")
        images[0].set_ylabel("frequency (Hz)")
        traces[0].set_ylabel("amplitude\n(scaled)")
    for column in range(3):
        axes[-1, column].set_xlabel("time (s)")
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.4, aspect=45, pad=0.015)
    bar.set_label("dB below the clean record's maximum", fontsize=7)
    return settled(figure)


def _trace(
    axes: Axes, trace: np.ndarray, clean: np.ndarray, rate: float, limit: float, *, first: bool
) -> None:
    time = np.arange(len(trace)) / rate
    axes.plot(time, trace, color=house.COLOURS["black"], lw=0.35, rasterized=True)
    axes.set(xlim=(0, time[-1]), ylim=(-limit, limit))
    axes.grid(False)
    axes.tick_params(labelbottom=False, labelleft=first, left=first)


def _spectrogram(axes: Axes, trace: np.ndarray, rate: float, reference: float) -> object:
    frequencies, times, z = stft(trace, rate, nperseg=256, noverlap=192)
    level = 20 * np.log10(np.maximum(np.abs(z), 1e-30) / reference)
    inside = times <= len(trace) / rate
    return show(axes, level[:, inside], times[inside], frequencies, low=-RANGE_DB, high=0.0)


def _loudest(trace: np.ndarray, rate: float) -> float:
    return float(max(np.abs(stft(trace, rate, nperseg=256, noverlap=192)[2]).max(), 1e-30))


def _ratio_db(clean: np.ndarray, other: np.ndarray, arrays: Arrays) -> float:
    """10 log10 of the clean record's energy from P on over that of the difference, all components."""
    start = _p_sample(arrays)
    clean, other = np.asarray(clean, float)[:, start:], np.asarray(other, float)[:, start:]
    return round(float(10 * np.log10((clean**2).sum() / max(((other - clean) ** 2).sum(), 1e-30))), 1) + 0.0


def _r(waveforms: list[np.ndarray], example: int) -> float:
    """Pearson's correlation of clean and denoised over all components."""
    return float(np.corrcoef(waveforms[0][example].ravel(), waveforms[2][example].ravel())[0, 1])


def _p_sample(arrays: Arrays) -> int:
    return int(arrays["image/p_sample"]) if "image/p_sample" in arrays else 0


def _about(arrays: Arrays, example: int) -> str:
    parts = [
        text(arrays[f"denoise/example_{name}"])[example]
        for name in ("station", "kind")
        if f"denoise/example_{name}" in arrays
    ]
    return " ".join(parts)
