"""Surface: ground, and what lies on it that a matched filter takes for methane.

The landscape is radiance in red, green and blue: bare ground with patches of other soils, drainage lines
with dark shrubs, sometimes fields. On it stand roofs, roads, ponds and solar farms, whose spectra
resemble methane's absorption here and there: a false enhancement with sharp edges and texture, that
follows the thing and not the wind. Some soils raise a whole neighbourhood, softly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from earthsignals.plume.params import SurfaceParams

GREY = 36.0
"""Red radiance of the ground for which the noise is stated, uW nm-1 cm-2 sr-1: the real chips' median."""

# Red, green, blue radiance in uW nm-1 cm-2 sr-1, after the real chips' percentiles.
_SAND = np.array([39.0, 35.5, 31.0])
_RED_SOIL = np.array([40.0, 31.0, 26.0])
_PALE_SOIL = np.array([48.0, 44.5, 39.0])
_SHRUBS = np.array([16.0, 18.5, 18.0])
_FIELD = np.array([19.0, 26.0, 18.5])
_WATER = np.array([7.0, 9.0, 12.0])
_GRAVEL = np.array([53.0, 50.0, 44.0])
_PANEL = np.array([13.0, 14.5, 20.0])


@dataclass
class Surface:
    """What lies below the instrument; all arrays float64.

    rgb (3, L, S): radiance in uW nm-1 cm-2 sr-1. false_ppm_m (L, S): enhancement without methane.
    noise_gain (L, S): factor on the noise beyond what brightness explains. confusers: kind, row, col.
    """

    rgb: np.ndarray
    false_ppm_m: np.ndarray
    noise_gain: np.ndarray
    confusers: list[dict[str, float | str]] = field(default_factory=list)

    @property
    def brightness(self) -> np.ndarray:
        """Radiance (L, S) over that of mid-grey ground."""
        return self.rgb.mean(axis=0) / (GREY * 0.9)


def power_law_field(rng: np.random.Generator, shape: tuple[int, int], exponent: float, scale: float):
    """Gaussian random field (L, S) of mean 0 and variance 1 whose spectrum falls as k^-exponent.

    Below one cycle in `scale` pixels the spectrum is flat. It is drawn on a larger grid, so that
    opposite edges do not match.
    """
    height, width = (fft.next_fast_len(n + int(scale), real=True) for n in shape)
    k2 = fft.fftfreq(height)[:, None] ** 2 + fft.rfftfreq(width)[None, :] ** 2
    amplitude = (k2 + scale**-2) ** (-exponent / 4)
    spectrum = fft.rfft2(rng.standard_normal((height, width))) * amplitude
    drawn = fft.irfft2(spectrum, s=(height, width))[: shape[0], : shape[1]]
    drawn -= drawn.mean()
    return drawn / max(float(drawn.std()), 1e-12)


def landscape(rng: np.random.Generator, shape: tuple[int, int], pixel_m: float) -> Surface:
    """Bare land of (L, S) pixels of `pixel_m` metres: soils, drainage, shrubs, sometimes fields."""
    wide = power_law_field(rng, shape, 3.6, 1500.0 / pixel_m)
    fine = power_law_field(rng, shape, 2.4, 300.0 / pixel_m)
    drain = power_law_field(rng, shape, 4.2, 2000.0 / pixel_m)
    grain, dots = rng.standard_normal((2, *shape))
    rgb = _SAND[:, None, None] * np.ones(shape)
    rgb = _blend(rgb, _RED_SOIL, _step(wide + 0.25 * fine - rng.uniform(0.2, 1.0), 0.6) * rng.uniform(0.4, 1))
    rgb = _blend(rgb, _PALE_SOIL, _step(0.6 * fine - wide - rng.uniform(1.2, 2.2), 0.4) * 0.8)
    if rng.random() < 0.35:
        rgb = _blend(rgb, _FIELD, _field_pattern(rng, shape, pixel_m))
    # Shrubs crowd along the lines where the drainage field crosses zero, and stand alone elsewhere.
    clump = gaussian_filter(grain, 1.2) * 4.2
    crowding = np.exp(-((drain / (0.05 + 0.05 * np.maximum(fine + 0.5, 0))) ** 2))
    lone = _step(clump + 0.35 * fine - rng.uniform(2.0, 2.8), 0.5)
    shrubs = np.clip(crowding * (0.75 + 0.35 * clump) + 0.75 * lone, 0, 1)
    rgb = _blend(rgb, _SHRUBS, shrubs)
    rgb *= 1.0 + 0.045 * fine + 0.03 * wide + 0.035 * dots
    gain = np.exp(0.12 * power_law_field(rng, shape, 2.2, 500.0 / pixel_m) + 0.04 * fine)
    return Surface(np.maximum(rgb, 1.0), np.zeros(shape), gain)


def add_confusers(surface: Surface, rng: np.random.Generator, pixel_m: float, params: SurfaceParams) -> None:
    """Set roofs, roads, ponds, solar farms and high soils on a landscape, in place.

    Their numbers are Poisson with the means of `params`; those that raise the false enhancement are
    listed in `surface.confusers` by kind and centre.
    """
    shape = surface.noise_gain.shape
    strength = params.strength_ppm_m
    for _ in range(rng.poisson(params.high_soils)):
        _add_high_soil(surface, rng, shape, pixel_m, strength)
    for _ in range(rng.poisson(params.roads)):
        _add_road(surface, rng, shape, pixel_m, strength)
    for _ in range(rng.poisson(params.ponds)):
        _add_pond(surface, rng, shape, pixel_m, strength)
    for _ in range(rng.poisson(params.solar_farms)):
        _add_solar_farm(surface, rng, shape, pixel_m, strength)
    roofs = rng.poisson(params.roofs)
    while roofs > 0:  # buildings keep company
        group = min(roofs, int(rng.integers(1, 5)))
        centre = rng.uniform(0, 1, 2) * shape
        for _ in range(group):
            _add_roof(surface, rng, centre + rng.normal(0, 60.0 / pixel_m, 2), pixel_m, strength)
        roofs -= group


# ---------------------------------------------------------------------------------- things on the ground
def _add_roof(surface: Surface, rng, centre, pixel_m: float, strength: float) -> None:
    """A rectangle of 30 to 150 m a side; its sheeting is one material, spotted."""
    size = np.exp(rng.uniform(math.log(30.0), math.log(150.0), 2)) / pixel_m
    size[1] = max(size[1], size[0] / 3)
    angle, level = rng.uniform(0, math.pi), strength * math.exp(rng.normal(0, 0.55))
    colour = _GRAVEL * rng.uniform(0.6, 1.35)
    patch = _Patch(centre, float(size.max()), surface.noise_gain.shape)
    if patch.empty:
        return
    u, v = patch.rotated(angle)
    inside = _edge(size[0] / 2 - np.abs(u)) * _edge(size[1] / 2 - np.abs(v))
    spots = np.exp(rng.normal(0, 0.45, inside.shape)) * (0.7 + 0.6 * (u > 0))
    patch.paint(surface, inside, colour, level * spots, 1.25)
    _record(surface, "roof", centre)


def _add_road(surface: Surface, rng, shape, pixel_m: float, strength: float) -> None:
    """A gravel line across the image, 6 to 14 m wide; only stretches of it raise the filter."""
    centre, angle = rng.uniform(0, 1, 2) * shape, rng.uniform(0, math.pi)
    bend = rng.normal(0, 0.15) / max(shape)
    reach = int(2.5 * max(shape))
    rows, cols = np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1]
    along, across = _turn(rows, cols, angle)
    line = _edge(rng.uniform(6.0, 14.0) / 2 / pixel_m + 0.25 - np.abs(across - bend * along**2))
    # The gravel along the way: a smooth random walk, loud where it is high.
    way = gaussian_filter1d(rng.standard_normal(2 * reach), 90.0 / pixel_m)
    level = 0.9 * strength * math.exp(rng.normal(0, 0.3))
    loud = level * _step(way / way.std() - rng.uniform(1.0, 1.8), 0.4)
    pixels = np.nonzero(line)
    place = np.clip(np.floor(along[pixels]).astype(np.int64) + reach, 0, 2 * reach - 1)
    cover = line[pixels]
    colour = _GRAVEL[:, None] - surface.rgb[:, *pixels]
    surface.rgb[:, *pixels] += 0.85 * cover * colour
    surface.false_ppm_m[pixels] += cover * loud[place] * np.exp(rng.normal(0, 0.5, len(cover)))
    for stretch in _runs(loud > 0.3 * strength):
        middle = (stretch[0] + stretch[1]) / 2 - reach
        row, col = _turn(middle, bend * middle**2, -angle)
        _record(surface, "road", (centre[0] + row, centre[1] + col))


def _add_pond(surface: Surface, rng, shape, pixel_m: float, strength: float) -> None:
    """Dark water 30 to 200 m across: little light, so the filter's noise is large there."""
    centre, radius = rng.uniform(0, 1, 2) * shape, rng.uniform(15.0, 100.0) / pixel_m
    patch = _Patch(centre, 2.4 * radius, shape)
    if patch.empty:
        return
    stretch, angle = rng.uniform(0.5, 1.0), rng.uniform(0, math.pi)
    u, v = patch.rotated(angle)
    around, (second, third) = np.arctan2(v, u), rng.uniform(0, 2 * math.pi, 2)
    ripple = 1 + 0.15 * np.sin(2 * around + second) + 0.1 * np.sin(3 * around + third)
    inside = _edge(radius * ripple - np.hypot(u, v / stretch))
    level = strength * rng.uniform(0.0, 0.5)
    patch.paint(surface, inside, _WATER * rng.uniform(0.8, 1.6), np.full(inside.shape, level), 1.15)
    _record(surface, "pond", centre)


def _add_solar_farm(surface: Surface, rng, shape, pixel_m: float, strength: float) -> None:
    """Rows of panel blocks with lanes between them, 100 to 400 m a side; the blocks raise the filter."""
    centre = rng.uniform(0, 1, 2) * shape
    size = rng.uniform(100.0, 400.0, 2) / pixel_m
    patch = _Patch(centre, float(size.max()), shape)
    if patch.empty:
        return
    u, v = patch.rotated(rng.uniform(0, math.pi))
    period = max(rng.uniform(18.0, 42.0) / pixel_m, 2.5)
    inside = _edge(size[0] / 2 - np.abs(u)) * _edge(size[1] / 2 - np.abs(v))
    rows = _step(np.sin(2 * math.pi * u / period), 0.25)
    gaps = (np.abs(v % (size[1] / 2) - size[1] / 4) > 1.0).astype(float)
    panels = inside * rows * gaps
    level = 0.9 * strength * math.exp(rng.normal(0, 0.4))
    spots = np.exp(rng.normal(0, 0.3, inside.shape))
    patch.paint(surface, panels, _PANEL, level * spots, 1.0)
    _record(surface, "solar farm", centre)


def _add_high_soil(surface: Surface, rng, shape, pixel_m: float, strength: float) -> None:
    """A region of several hundred metres whose soil raises the filter, softly, except under shrubs."""
    centre, radius = rng.uniform(0, 1, 2) * shape, rng.uniform(120.0, 450.0) / pixel_m
    patch = _Patch(centre, 6 * radius, shape)
    if patch.empty:
        return
    u, v = patch.rotated(rng.uniform(0, math.pi))
    soft = np.exp(-0.5 * ((u / radius) ** 2 + (v / (0.55 * radius)) ** 2))
    texture = power_law_field(rng, soft.shape, 2.4, max(radius, 4.0))
    mottle = np.maximum(soft * (1 + 0.35 * texture) - 0.08, 0) * _step(3 * soft - 1.2 + 0.5 * texture, 0.8)
    bare = np.clip(surface.rgb[0][patch.window] / 30.0 - 0.4, 0.1, 1.0)
    level = strength * rng.uniform(0.25, 0.6)
    surface.false_ppm_m[patch.window] += level * mottle * bare
    _record(surface, "high soil", centre)


# ---------------------------------------------------------------------------------- drawing
class _Patch:
    """The square window of an image around a thing: drawing on it costs the thing's size."""

    def __init__(self, centre: np.ndarray, width: float, shape: tuple[int, int]) -> None:
        reach = math.ceil(0.75 * width) + 2
        first = [max(int(c) - reach, 0) for c in centre]
        last = [min(int(c) + reach + 1, n) for c, n in zip(centre, shape, strict=True)]
        self.window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        self.empty = any(a >= b for a, b in zip(first, last, strict=True))
        self._offset = (first[0] - centre[0], first[1] - centre[1])

    def rotated(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates about the centre, turned by `angle`."""
        height, width = (s.stop - s.start for s in self.window)
        rows = np.arange(height)[:, None] + self._offset[0]
        cols = np.arange(width)[None, :] + self._offset[1]
        return _turn(rows, cols, angle)

    def paint(self, surface: Surface, cover, colour, false_ppm_m, gain: float) -> None:
        """Cover (0 to 1) the ground with a thing: its colour, enhancement and noise replace those below."""
        window = (slice(None), *self.window)
        surface.rgb[window] = _blend(surface.rgb[window], colour, cover)
        below = surface.false_ppm_m[self.window]
        surface.false_ppm_m[self.window] = below * (1 - cover) + false_ppm_m * cover
        surface.noise_gain[self.window] *= 1 + (gain - 1) * cover


def _record(surface: Surface, kind: str, where) -> None:
    row, col = (int(round(float(value))) for value in where)
    shape = surface.noise_gain.shape
    if 0 <= row < shape[0] and 0 <= col < shape[1]:
        surface.confusers.append({"kind": kind, "row": row, "col": col})


def _field_pattern(rng, shape, pixel_m: float) -> np.ndarray:
    """Cover (0 to 1) of a grid of fields, some fallow, in part of the image."""
    angle, side = rng.uniform(0, math.pi), rng.uniform(250.0, 600.0) / pixel_m
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(float)
    u, v = _turn(rows, cols, angle)
    number = (np.floor(u / side).astype(np.int64) * 7 + np.floor(v / side).astype(np.int64) * 13) % 64
    crop = np.where(rng.random(64) < 0.35, rng.uniform(0.3, 1.0, 64), 0.0)[number]
    hedge = (np.minimum(u % side, v % side) > 1.5).astype(float)
    region = _step(power_law_field(rng, shape, 3.0, 1500.0 / pixel_m) - 0.2, 0.1)
    return crop * hedge * region


def _turn(rows, cols, angle: float):
    cosine, sine = math.cos(angle), math.sin(angle)
    return rows * cosine + cols * sine, cols * cosine - rows * sine


def _blend(rgb: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return rgb + (np.asarray(colour)[:, None, None] - rgb) * cover


def _step(value: np.ndarray, softness: float) -> np.ndarray:
    """0 below zero, 1 above, soft over `softness`."""
    return 0.5 + 0.5 * np.clip(value / softness, -1, 1)


def _edge(inside: np.ndarray) -> np.ndarray:
    """Share of a pixel whose centre lies `inside` pixels within an edge."""
    return np.clip(inside + 0.5, 0.0, 1.0)


def _runs(loud: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of true values."""
    steps = np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8))
    first, last = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return list(zip(first.tolist(), last.tolist(), strict=True))
