"""A wrong interleave or integer byte order in an ENVI header, told by roughness: both read as noise.

The interleave says how far apart neighbours lie in the binary, counted in values:

              next sample    next line          S samples, B bands
    bsq            1             S
    bil            1            S·B
    bip            B            S·B

so mean differences at these four distances, taken in the same places, tell which form the values have. They
are differences of ranks: free of units, and a few extreme values do not count. Bands that resemble each
other make short distances smooth whatever the form, but leave a step where the next pixel or line begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from earthsignals.plume.imagery.envi import FlightlineError, Header

NODATA = -9999.0
_MOST_BANDS = 16
_LINES_PER_BAND, _LEAST = 8, 64  # fewer lines or samples cannot tell
_PLACES = 24
_PAIRS = 1000
_CLEAR = 0.85  # another interleave must be this much smoother where it differs, and
_NOT_WORSE = 0.95  # so much in each direction where it differs
_CLEAR_ORDER = 0.7
_ERRORS = 3.0  # standard errors, over the places, by which it must be smoother
_STEPS = (1.15, 1.4)  # most that differences to the next value, or line, vary with the band if it is none


def check_interleave(binary: Path, header: Header) -> None:
    """Raise FlightlineError where another interleave is clearly smoother than the declared one.

    Where the values cannot tell (one band or over 16, few lines or samples, mostly missing, noise, bands
    that resemble each other) nothing is raised. The binary must have the header's size.
    """
    bands, least = header.bands, max(_LEAST, _LINES_PER_BAND * header.bands)
    if not 1 < bands <= _MOST_BANDS or header.lines < least or header.samples < least:
        return
    width = header.samples
    lags = (1, bands, width, width * bands)
    count, places = np.zeros(4), []
    steps = np.zeros((2, 2, bands))  # sum and count, by band, from it to the next value and the next line
    for values in _segments(binary, header):
        ranks = _ranks(values.astype(np.float64), _missing(values, header))
        means = np.full(4, np.nan)
        for k, lag in enumerate(lags):
            difference = np.abs(ranks[lag:] - ranks[:-lag])
            there = np.isfinite(difference)
            count[k] += there.sum()
            means[k] = difference[there].mean() if there.any() else np.nan
            if k in (0, 2):
                phase = (np.arange(difference.size) // lag % bands)[there]
                steps[0, k // 2] += np.bincount(phase, difference[there], bands)
                steps[1, k // 2] += np.bincount(phase, minlength=bands)
        places.append(means)
    means = np.array(places)
    means = means[np.isfinite(means).all(1)]
    if count.min() < _PAIRS or len(means) < _PLACES // 2 or not means.mean(0).all():
        return
    found = _smoother(header.interleave, dict(zip(lags, means.T, strict=True)), steps, lags)
    if found is not None:
        raise FlightlineError(
            f"{binary}: read as interleave {header.interleave}, as {header.path.name} declares, its values "
            f"are far rougher than as {found}; correct the header line to `interleave = {found}`."
        )


def check_integer_order(binary: Path, header: Header) -> None:
    """Raise FlightlineError where integers are clearly smoother in the other byte order."""
    if header.dtype.kind not in "iu" or header.dtype.itemsize == 1:
        return
    along = header.bands if header.interleave == "bip" else 1
    across = header.samples * (1 if header.interleave == "bsq" else header.bands)
    total, count = np.zeros((2, 2)), np.zeros(2)
    for values in _segments(binary, header):
        swapped = values.byteswap()
        missing = _missing(values, header) | _missing(swapped, header)
        for order, numbers in enumerate((values, swapped)):
            ranks = _ranks(numbers.astype(np.float64), missing)
            for k, lag in enumerate((along, across)):
                difference = np.abs(ranks[lag:] - ranks[:-lag])
                there = np.isfinite(difference)
                total[order, k] += difference[there].sum()
                count[k] += there.sum() * (order == 0)
    declared, other = total
    if count.min() < _PAIRS or other.sum() >= _CLEAR_ORDER * declared.sum() or (other > declared).any():
        return
    order = int(header.dtype.newbyteorder("<") != header.dtype)
    raise FlightlineError(
        f"{binary}: in byte order {order}, as {header.path.name} declares, its values are far "
        f"rougher than in the other; correct the header line to `byte order = {1 - order}`."
    )


def _smoother(
    declared: str, means: dict[int, np.ndarray], steps: np.ndarray, lags: tuple[int, ...]
) -> str | None:
    """The interleave that is clearly smoother than `declared`; None where there is none."""
    one, bands, width, block = lags
    forms = {"bsq": (one, width), "bil": (one, block), "bip": (bands, block)}
    with np.errstate(invalid="ignore", divide="ignore"):
        level = steps[0] / steps[1]
        pixels, lines = ~(level.max(1) <= np.multiply(_STEPS, level.min(1)))
    if (declared == "bip" and pixels) or (declared == "bil" and lines):
        return None  # the bands that the header speaks of can be seen
    found = {}
    for name, pair in forms.items():
        differing = [(means[a], means[b]) for a, b in zip(pair, forms[declared], strict=True) if a != b]
        ratios = [other.mean() / own.mean() for other, own in differing]
        sure = all(
            (own - other).mean() > _ERRORS * (own - other).std() / own.size**0.5 for other, own in differing
        )
        if differing and sure and np.mean(ratios) < _CLEAR and max(ratios) < _NOT_WORSE:
            found[name] = sum(means[lag].mean() for lag in pair)
    return min(found, key=found.__getitem__) if found else None


def _segments(binary: Path, header: Header) -> Iterator[np.ndarray]:
    """Values as they lie in the binary, native byte order: two lines of all bands each, spread over it."""
    block = header.samples * header.bands
    values = np.memmap(binary, header.dtype, "r", offset=header.offset, shape=(header.lines * block,))
    places = np.linspace(0, max(header.lines - 2, 0), max(_PLACES, 2 * header.bands) + 2)[1:-1]
    for place in np.unique(places.round().astype(int)):
        part = values[place * block : (place + 2) * block]
        yield part.astype(header.dtype.newbyteorder("="))


def _missing(values: np.ndarray, header: Header) -> np.ndarray:
    missing = ~np.isfinite(values) | (values == NODATA)
    try:
        return missing | (values == float(header.fields.get("data ignore value", NODATA)))
    except ValueError:
        return missing


def _ranks(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1 of the values that are there, NaN for the others."""
    ranks = np.full(values.shape, np.nan)
    if not missing.all():
        ranks[~missing] = rankdata(values[~missing]) / np.count_nonzero(~missing)
    return ranks
