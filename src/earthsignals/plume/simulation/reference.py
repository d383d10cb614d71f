"""Reference: what the background of real matched-filter images looks like, in numbers.

    reference = read_reference()                 # package data, measured once by `measure_reference`
    own = summarise(ch4, exclude=mask == 1)

The package carries statistics of two real AVIRIS-NG chips, not the chips: share of zeros, histogram of
positive values, radial power spectrum, spread of column means; and the published mean and deviation of three
campaigns of linear retrievals after clamping to 0..4000 ppm·m.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from scipy import fft

from earthsignals.storage import EarthSignalsError, md5_file, read_json, write_json

NAME = "background_reference.json"
SOURCE = "STARCOP (Růžička et al. 2023, doi:10.5281/zenodo.7863343), AVIRIS-NG chips, mag1c"

# Means and deviations that srcfinder's models normalise by: (ppm·m, ppm·m), after clamping to 0..4000.
CAMPAIGNS = {
    "COVID_QC": (110.6390, 183.9152), "CalCH4_v8": (140.6399, 237.5434), "Permian_QC": (100.2635, 158.7060),
}  # fmt: skip

HISTOGRAM_EDGES = np.arange(0.0, 2025.0, 25.0)  # ppm·m
SPECTRUM_EDGES = np.geomspace(1 / 256, 0.5, 22)  # cycles per pixel
COLUMN_LINES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LINES = 512
"""Of an image that are compared, for slow trends grow with its length."""


def summarise(ch4: np.ndarray, exclude: np.ndarray | None = None) -> dict[str, Any]:
    """Statistics of one matched-filter image (L, S) in ppm·m; NaN and `exclude` (L, S) bool are left out.

    Returns numbers and lists that JSON holds:
        zero_share; clamped_mean and clamped_std of values clamped to 0..4000;
        histogram: share of all pixels per 25 ppm·m bin of positive values;
        spectrum: power per radial bin, (ppm·m)²·pixel², None where a bin holds no frequency;
        column_sd and row_sd: standard deviation (ppm·m) of means over 1, 2, 4 … 256 pixels along a column
        and along a row. White noise falls as n^-1/2; column stripes keep column_sd up.

    Raises EarthSignalsError when nothing is left.
    """
    good = np.isfinite(ch4) if exclude is None else np.isfinite(ch4) & ~exclude
    if not good.any():
        raise EarthSignalsError("no valid pixel is left to summarise; give an image with some background")
    values = np.clip(ch4[good].astype(float), 0, 4000)
    histogram = np.histogram(values[values > 0], HISTOGRAM_EDGES)[0] / len(values)
    clamped = np.where(good, np.clip(np.nan_to_num(ch4), 0, 4000), np.nan)
    return {
        "zero_share": _plain((values == 0).mean()),
        "clamped_mean": _plain(values.mean()),
        "clamped_std": _plain(values.std()),
        "histogram": [_plain(value) for value in histogram],
        "spectrum": radial_spectrum(clamped),
        "column_sd": _block_sd(clamped),
        "row_sd": _block_sd(clamped.T),
    }


def radial_spectrum(image: np.ndarray) -> list[float | None]:
    """Power in the bins of SPECTRUM_EDGES, of an image (L, S) with NaN, in its units squared by pixel².

    Gaps take the mean; a Hann window tapers the borders. White noise of variance v has power v.
    """
    good = np.isfinite(image)
    taper = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1])) * good
    centred = np.where(good, image - image[good].mean(), 0.0) * taper
    power = np.abs(fft.fft2(centred)) ** 2 / np.sum(taper**2)
    radius = np.hypot(fft.fftfreq(image.shape[0])[:, None], fft.fftfreq(image.shape[1])[None, :]).ravel()
    which = np.digitize(radius, SPECTRUM_EDGES) - 1
    inside = (which >= 0) & (which < len(SPECTRUM_EDGES) - 1)
    bins = len(SPECTRUM_EDGES) - 1
    count = np.bincount(which[inside], minlength=bins)
    total = np.bincount(which[inside], power.ravel()[inside], minlength=bins)
    return [_plain(t / c) if c else None for t, c in zip(total, count, strict=True)]


def _block_sd(image: np.ndarray) -> list[float | None]:
    """Spread across columns of means over n lines, for each n: within a block of lines, then pooled."""
    spreads = []
    for n in COLUMN_LINES:
        variances = []
        for start in range(0, image.shape[0] - n + 1, max(n, 16)):
            block = image[start : start + n]
            whole = np.isfinite(block).mean(axis=0) > 0.5
            if whole.sum() >= 32:
                means = np.nanmean(block[:, whole], axis=0)
                # Differences of neighbours: slow trends across the image are no stripes.
                variances.append(np.mean(np.diff(means) ** 2) / 2)
        spreads.append(_plain(np.sqrt(np.mean(variances))) if variances else None)
    return spreads


def measure_reference(folder: str | Path) -> dict[str, Any]:
    """Statistics of the real chips below `folder`: `<chip>/mag1c.tif`, with red radiance and label.

    Ground without radiance is no data; labelled plume pixels are left out.
    Raises EarthSignalsError when there is no chip.
    """
    chips = []
    for path in _chips(Path(folder)):
        ch4, red, label = (
            _read(path.with_name(name)) for name in ("mag1c.tif", "TOA_AVIRIS_640nm.tif", "labelbinary.tif")
        )
        summary = summarise(np.where(red > 0, ch4, np.nan)[:LINES], (label > 0)[:LINES])
        chips.append({"chip": path.parent.name, "md5": md5_file(path), **summary})
    if not chips:
        raise EarthSignalsError(f"{folder}: no <chip>/mag1c.tif is below it; give the folder of the chips")
    return {"source": SOURCE, "chips": chips}


def write_reference(folder: str | Path, path: str | Path) -> None:
    """Measure the chips below `folder` and write the package data at `path`."""
    write_json(path, measure_reference(folder))


def read_reference() -> dict[str, Any]:
    """The statistics that come with the package: `source` and, per chip, name, md5 and summary."""
    return read_json(Path(str(files("earthsignals.plume.simulation") / NAME)))


def _chips(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*/mag1c.tif"))


def _read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            return source.read(1).astype(float)


def _plain(value: float) -> float:
    """Six digits: enough for a figure, and the same on every machine."""
    return float(f"{value:.6g}")
