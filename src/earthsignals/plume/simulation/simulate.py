"""Simulation: one synthetic flightline, from ground and wind to what the matched filter returns.

Every flightline is a function of the parameters, its day and its number in the day, drawn from
counter-based streams: it can be made alone, in any order, on any machine, to the same bytes. Methane is
added before the retrieval, so that a sparse retrieval swallows the faint parts of a plume as real ones do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from scipy.ndimage import gaussian_filter1d

from earthsignals.compute.seeds import philox
from earthsignals.plume.imagery.splits import split_days
from earthsignals.plume.params import BackgroundParams, PlumeParams, ScenesParams, TilesParams
from earthsignals.plume.simulation.background import filter_noise, sparse_penalty, sparse_retrieval
from earthsignals.plume.simulation.dispersion import gaussian_plume, puff_plume, taylor_sigma
from earthsignals.plume.simulation.surface import Surface, add_confusers, landscape

BAND_NAMES = (
    "Red Radiance (uW/nm/sr/cm2)", "Green Radiance (uW/nm/sr/cm2)", "Blue Radiance (uW/nm/sr/cm2)",
    "CH4 Absorption (ppm x m)",
)  # fmt: skip

# Steps to which values are rounded: far below any noise, far above what differs between processors.
_CH4_STEP = 1 / 16  # ppm·m
_RADIANCE_STEP = 1 / 256  # uW nm-1 cm-2 sr-1

_NEAR_CONFUSER = 0.3  # share of the sources that stand within a few pixels of a false enhancement
_KEEP_OFF_M = 60.0  # of the image's valid edge


@dataclass(frozen=True)
class Day:
    """What flightlines of one day share."""

    number: int
    date: str
    split: str
    retrieval: str
    pixel_m: float
    noise_ppm_m: float


@dataclass(frozen=True)
class SimulatedScene:
    """A flightline in memory.

    bands (B, L, S) float32: radiance in uW nm-1 cm-2 sr-1 and, last, CH4 in ppm·m; NaN outside the
    footprint. mask (L, S) uint8: 1 plume, 2 false enhancement. truth_ppm_m (L, S) float32: what the
    plumes alone add. record: what the scene index says of it, without paths.
    """

    stem: str
    bands: np.ndarray
    band_names: tuple[str, ...]
    mask: np.ndarray
    truth_ppm_m: np.ndarray
    crs: str
    transform: Affine
    record: dict[str, Any]


def make_days(params: PlumeParams) -> tuple[Day, ...]:
    """All days of the campaign, in order.

    Retrievals are dealt out evenly along the days of each split in turn, so that no split holds but one
    kind by bad luck.
    """
    return _make_days(params.scenes, params.background, params.tiles)


@lru_cache(maxsize=4)
def _make_days(scenes: ScenesParams, background: BackgroundParams, tiles: TilesParams) -> tuple[Day, ...]:
    count = scenes.days
    step = max(1, 330 // count)
    dates = [(date(2030, 1, 15) + timedelta(days=n * step)).isoformat() for n in range(count)]
    splits = split_days(dates, tiles.validation_fraction, tiles.test_fraction, tiles.seed)
    order = ("test", "validation", "train")
    dealt = sorted(range(count), key=lambda n: (order.index(splits[dates[n]]), n))
    share = background.sparse_share
    sparse = {n for k, n in enumerate(dealt) if math.floor((k + 1) * share) > math.floor(k * share)}
    days = []
    for n, name in enumerate(dates):
        rng = philox(scenes.seed, "plume-day", n)
        pixel, noise = scenes.pixel_m, background.noise_ppm_m
        days.append(
            Day(
                number=n, date=name, split=splits[name], retrieval="sparse" if n in sparse else "linear",
                pixel_m=round(float(rng.uniform(pixel.low, pixel.high)), 1),
                noise_ppm_m=float(rng.uniform(noise.low, noise.high)),
            )
        )  # fmt: skip
    return tuple(days)


def scene_stem(params: PlumeParams, day: int, number: int) -> str:
    """File name without suffix, `ang<date>t<time>_ch4mf_synthetic`, as AVIRIS-NG products are called."""
    spacing = min(720, 50_000 // params.scenes.flightlines_per_day)
    hours, seconds = divmod(8 * 3600 + number * spacing, 3600)
    digits = make_days(params)[day].date.replace("-", "")
    return f"ang{digits}t{hours:02d}{seconds // 60:02d}{seconds % 60:02d}_ch4mf_synthetic"


def simulate_scene(params: PlumeParams, day: int, number: int) -> SimulatedScene:
    """Flightline `number` of day `day`, both from 0.

    Raises IndexError for a day that `params.scenes.days` does not have.
    """
    own = make_days(params)[day]
    index = day * 1000 + number

    def stream(name: str, item: int = index) -> np.random.Generator:
        return philox(params.scenes.seed, f"plume-{name}", item)

    shape = (params.scenes.lines, params.scenes.samples)
    valid, columns = _footprint(stream("footprint"), shape)
    surface = landscape(stream("landscape"), shape, own.pixel_m)
    add_confusers(surface, stream("confusers"), own.pixel_m, params.surface)
    wind, direction = _wind(stream("wind"), params)
    sources = _sources(stream("sources"), params, own.pixel_m, valid, surface)
    stem, truth, plumes = scene_stem(params, day, number), np.zeros(shape), []
    for k, (row, col, rate) in enumerate(sources):
        plume = _disperse(
            params, shape, own.pixel_m, (row, col), rate, wind, direction, stream("plume", index * 1000 + k)
        )
        plume = _round(plume, _CH4_STEP)
        truth += plume
        plumes.append({
            "id": f"{stem.split('_')[0]}-{k + 1}", "row": round(row, 2), "col": round(col, 2),
            "rate_kg_h": round(rate, 3), "wind_m_s": round(wind, 3),
            "mask_pixels": int(((plume >= params.emission.mask_ppm_m) & valid).sum()),
        })  # fmt: skip

    brightness = surface.brightness
    signed = filter_noise(
        stream("noise"), brightness, surface.noise_gain, columns, own.noise_ppm_m, own.pixel_m,
        params.background,
    )  # fmt: skip
    signed += surface.false_ppm_m + truth
    if own.retrieval == "sparse":
        signed = sparse_retrieval(signed, sparse_penalty(brightness, own.noise_ppm_m))
    enhancement = _round(signed, _CH4_STEP)
    bands = [enhancement]
    if params.scenes.bands == 4:
        bands = [*_round(surface.rgb, _RADIANCE_STEP), enhancement]

    mask = np.zeros(shape, np.uint8)
    mask[_round(surface.false_ppm_m, _CH4_STEP) >= params.emission.mask_ppm_m] = 2
    mask[truth >= params.emission.mask_ppm_m] = 1
    mask[~valid] = 0
    confusers = [c for c in surface.confusers if valid[int(c["row"]), int(c["col"])]]
    crs, transform = _placed(stream("place"), own.pixel_m)
    return SimulatedScene(
        stem=stem,
        bands=np.where(valid, np.stack(bands), np.nan).astype(np.float32),
        band_names=BAND_NAMES[-params.scenes.bands :],
        mask=mask,
        truth_ppm_m=np.where(valid, truth, np.nan).astype(np.float32),
        crs=crs,
        transform=transform,
        record={
            "stem": stem, "day": own.date, "split": own.split,
            "lines": shape[0], "samples": shape[1], "pixel_m": own.pixel_m,
            "wind_m_s": round(wind, 3), "wind_direction_deg": round(direction, 2),
            "retrieval": own.retrieval, "plumes": plumes, "confusers": confusers,
        },
    )  # fmt: skip


def _footprint(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the flightline lies in its raster: valid (L, S) bool and detector columns (L, S) int.

    The aircraft drifts across the raster's axis and rolls: edges are slanted and wavy by some pixels.
    """
    lines, samples = shape
    slant = rng.uniform(-0.06, 0.06) * samples * np.linspace(-0.5, 0.5, lines)
    roll = gaussian_filter1d(rng.standard_normal(lines), min(25.0, lines / 8), mode="reflect")
    roll *= 0.006 * samples / max(float(roll.std()), 1e-12)
    shift = np.floor(slant + roll + 0.5).astype(np.int64)
    margin = max(1, round(0.03 * samples)) + int(np.abs(shift).max()) // 2
    first, last = margin + shift, samples - margin + shift
    cols = np.arange(samples)[None, :]
    valid = (cols >= first[:, None]) & (cols < last[:, None])
    top, bottom = (int(n) for n in rng.integers(0, max(2, lines // 60), 2))
    valid[:top] = False
    valid[lines - bottom :] = False
    return valid, cols - shift[:, None]


def _wind(rng: np.random.Generator, params: PlumeParams) -> tuple[float, float]:
    """Speed in m/s, and the direction it blows to in degrees clockwise from up."""
    speed = params.emission.wind_m_s
    return float(rng.uniform(speed.low, speed.high)), float(rng.uniform(0.0, 360.0))


def _sources(
    rng: np.random.Generator, params: PlumeParams, pixel_m: float, valid: np.ndarray, surface: Surface
) -> list[tuple[float, float, float]]:
    """Row, column and kg/h of each source; none in a share of the flightlines."""
    emission = params.emission
    number = 0 if rng.random() < emission.empty_share else int(rng.poisson(emission.plumes_per_flightline))
    keep_off = max(2, math.ceil(_KEEP_OFF_M / pixel_m))
    inner = _eroded(valid, keep_off)
    if not inner.any():
        inner = valid
    rows, cols = np.nonzero(inner)
    things = [c for c in surface.confusers if inner[int(c["row"]), int(c["col"])]]
    sources = []
    for _ in range(number):
        chosen = int(rng.integers(len(rows)))
        row, col = rows[chosen], cols[chosen]
        beside, pick, offset = rng.random(), rng.random(), rng.normal(0, 25.0 / pixel_m, 2)
        if things and beside < _NEAR_CONFUSER:
            thing = things[int(pick * len(things))]
            near = (round(int(thing["row"]) + offset[0]), round(int(thing["col"]) + offset[1]))
            inside = 0 <= near[0] < valid.shape[0] and 0 <= near[1] < valid.shape[1]
            if inside and inner[near]:
                row, col = near
        rate = math.exp(rng.uniform(math.log(emission.rate_kg_h.low), math.log(emission.rate_kg_h.high)))
        sources.append((float(row), float(col), rate))
    return sources


def _eroded(valid: np.ndarray, pixels: int) -> np.ndarray:
    """Pixels from which `pixels` in each of the four directions are valid."""
    inner = np.zeros_like(valid)
    if min(valid.shape) > 2 * pixels:
        n = pixels
        centre = (slice(n, -n), slice(n, -n))
        inner[centre] = (
            valid[centre] & valid[: -2 * n, n:-n] & valid[2 * n :, n:-n] & valid[n:-n, : -2 * n]
            & valid[n:-n, 2 * n :]
        )  # fmt: skip
    return inner


def _disperse(params: PlumeParams, shape, pixel_m, source, rate, wind, direction, rng) -> np.ndarray:
    """One plume in ppm·m by the model that `params.emission` names."""
    common = (shape, pixel_m, source, rate, wind, direction, params.emission.turbulence)
    if params.emission.model == "gaussian":
        # The spread of the puffs' ensemble, so that the two models differ in the instant alone.
        def spread(distance_m: np.ndarray) -> np.ndarray:
            return taylor_sigma(distance_m / wind, params.emission.turbulence * wind)

        return gaussian_plume(*common, sigma=spread)
    return puff_plume(*common, rng)


def _placed(rng: np.random.Generator, pixel_m: float) -> tuple[str, Affine]:
    """UTM zone and transform, turned by whole degrees as flightlines are along their track."""
    zone = int(rng.integers(11, 15))
    west = round(float(rng.uniform(300_000, 700_000)), 1)
    north = round(float(rng.uniform(3_500_000, 4_200_000)), 1)
    turned = int(rng.integers(-80, 81))
    transform = Affine.translation(west, north) @ Affine.rotation(turned) @ Affine.scale(pixel_m, -pixel_m)
    return f"EPSG:326{zone}", transform


def _round(values: np.ndarray, step: float) -> np.ndarray:
    """Multiples of `step`, a power of two: exact in float32 up to 2^24 steps."""
    return np.round(values / step) * step
