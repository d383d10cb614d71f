"""One synthetic scene: its pattern, its clouds, what a satellite sees of them, and the truth."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import TRUTH_STEP, Scene
from earthsignals.clouds.params import CloudsParams, Regime
from earthsignals.clouds.simulation.deformation import Deformation, spacing
from earthsignals.clouds.simulation.optics import photograph
from earthsignals.clouds.simulation.regimes import KINDS, Pattern
from earthsignals.compute.seeds import philox

FIRST_DAY = dt.date(2020, 1, 1)
SERIES_REGIMES: tuple[Regime, Regime] = ("sugar", "flowers")
"""The hourly series follows the transition of Narenpitak et al. (2021, JAMES 13, doi 10.1029/2021MS002619):
sugar deepens and gathers into flowers within a day."""
SERIES_SCALE_KM = (18.0, 60.0)
SERIES_FRACTION = (0.15, 0.38)


@dataclass(frozen=True)
class Weather:
    """What decides a scene's clouds before chance does.

    regimes: the pattern, and the one that it turns into, of which there is `turned` in [0, 1] already.
    pattern, optics: numbers of the random streams of the clouds, and of sun, sea and sensor.
    """

    name: str
    time: dt.datetime
    regimes: tuple[Regime, Regime]
    turned: float
    scale_km: float
    cloud_fraction: float
    anisotropy: float
    latitude: float
    longitude: float
    pattern: int
    optics: int
    series: bool = False


def list_weather(params: CloudsParams) -> list[Weather]:
    """Every scene of the parameters, in order of time: `scenes.days` days and the hourly series."""
    options = params.scenes
    scenes = [
        _of_a_day(params, day, number)
        for day in range(options.days)
        for number in range(options.scenes_per_day)
    ]
    return scenes + [_of_the_series(params, hour) for hour in range(options.series_hours)]


def simulate(params: CloudsParams, weather: Weather) -> Scene:
    """Make a scene with its truth: a function of the parameters and the weather alone.

    Truth holds scale and anisotropy from the deformation's Jacobian, clustering of the points, and the cloud
    fraction that came out, each as means of TRUTH_STEP² pixels.
    """
    size, pixel_km = params.scenes.size_px, params.grid.pixel_km
    generator = philox(params.scenes.seed, "clouds-pattern", weather.pattern)
    centres = (np.arange(size) + 0.5 - size / 2) * pixel_km
    x, y = np.meshgrid(centres, -centres)
    extent = size * pixel_km
    deformation = Deformation.draw(generator, weather.scale_km, weather.anisotropy, extent)
    u, v = deformation(x, y)
    scale, anisotropy = spacing(u, v, pixel_km)
    clustering = _gradual(generator, u, v)
    fraction = _varied(generator, weather.cloud_fraction, x / extent, y / extent)
    pattern = Pattern(u, v, clustering, pixel_km)
    height = _standard(KINDS[weather.regimes[0]].height(pattern, generator))
    if weather.turned > 0:
        later = _standard(KINDS[weather.regimes[1]].height(pattern, generator))
        height = (1 - weather.turned) * height + weather.turned * later
    depth = _depth(height, fraction)
    truth = {
        "scale_km": scale, "anisotropy": anisotropy, "clustering": clustering(u, v),
        "cloud_fraction": (depth > 0).astype(np.float64),
    }  # fmt: skip
    return Scene(
        name=weather.name, time=weather.time,
        plane=Plane.around(weather.latitude, weather.longitude, pixel_km, (size, size)),
        values=photograph(depth, philox(params.scenes.seed, "clouds-optics", weather.optics)),
        valid=np.ones((size, size), bool), bands=("red", "green", "blue"), product="visible",
        regime=weather.regimes[round(weather.turned)], series=weather.series,
        truth={name: block_means(values) for name, values in truth.items()},
    )  # fmt: skip


def block_means(values: np.ndarray) -> np.ndarray:
    """Means (ceil(H / TRUTH_STEP), ceil(W / TRUTH_STEP)) float32 of values (H, W); blocks at the edge are
    smaller."""
    starts = [np.arange(0, n, TRUTH_STEP) for n in values.shape]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], 0), starts[1], 1)
    sizes = [np.diff(np.append(start, n)) for start, n in zip(starts, values.shape, strict=True)]
    return (sums / np.outer(*sizes)).astype(np.float32)


def _of_a_day(params: CloudsParams, day: int, number: int) -> Weather:
    """A scene at local noon somewhere."""
    options = params.scenes
    index = day * options.scenes_per_day + number
    # A day's weather is of one regime, in turns; its scenes show different regions.
    regime = options.regimes[day % len(options.regimes)]
    kind, generator = KINDS[regime], philox(options.seed, "clouds-weather", index)
    date, longitude = FIRST_DAY + dt.timedelta(days=day), float(generator.uniform(-180, 180))
    noon = dt.datetime.combine(date, dt.time(12), dt.UTC) - dt.timedelta(minutes=round(4 * longitude))
    return Weather(
        name=f"{date:%Y%m%d}-{number:02d}", time=noon, regimes=(regime, regime), turned=0.0,
        scale_km=float(np.exp(generator.uniform(*np.log(kind.scale_km)))),
        cloud_fraction=float(generator.uniform(*kind.cloud_fraction)),
        anisotropy=float(generator.uniform(*kind.anisotropy)),
        latitude=float(generator.uniform(-25, 25)), longitude=longitude,
        pattern=index, optics=index,
    )  # fmt: skip


def _of_the_series(params: CloudsParams, hour: int) -> Weather:
    """The same pattern each hour, growing and turning; another sun and sensor each time."""
    options = params.scenes
    base = options.days * options.scenes_per_day
    share = hour / max(options.series_hours - 1, 1)
    start = dt.datetime.combine(FIRST_DAY + dt.timedelta(days=options.days), dt.time(6), dt.UTC)
    time = start + dt.timedelta(hours=hour)
    low, high = np.log(SERIES_SCALE_KM)
    return Weather(
        name=f"series-{time:%Y%m%dT%H}", time=time, regimes=SERIES_REGIMES, turned=share,
        scale_km=float(np.exp(low + share * (high - low))),
        cloud_fraction=float(np.interp(share, [0, 1], SERIES_FRACTION)), anisotropy=1.2,
        latitude=13.0, longitude=-57.0, pattern=base, optics=base + hour, series=True,
    )  # fmt: skip


class _Gradual:
    """Clustering on the pattern plane, rising from one side to the other of what the scene shows."""

    def __init__(self, generator: np.random.Generator, u: np.ndarray, v: np.ndarray) -> None:
        self.middle = u.mean(), v.mean()
        self.reach = max(np.ptp(u), np.ptp(v)) / 2
        angle = generator.uniform(0, 2 * np.pi)
        self.direction = np.cos(angle), np.sin(angle)
        self.mean, self.rise = generator.uniform(0.05, 0.5), generator.uniform(0, 0.2)

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        along = self.direction[0] * (u - self.middle[0]) + self.direction[1] * (v - self.middle[1])
        return np.clip(self.mean + self.rise * along / self.reach, 0, 1)


def _gradual(generator: np.random.Generator, u: np.ndarray, v: np.ndarray) -> _Gradual:
    return _Gradual(generator, u, v)


def _varied(generator: np.random.Generator, mean: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cloud fraction asked for at places in [−½, ½]: its odds vary by a factor of two."""
    angle = generator.uniform(0, 2 * np.pi)
    slope = generator.uniform(0, np.log(2))
    logit = np.log(mean / (1 - mean)) + slope * (np.cos(angle) * x + np.sin(angle) * y)
    return 1 / (1 + np.exp(-logit))


def _standard(height: np.ndarray) -> np.ndarray:
    return (height - height.mean()) / height.std()


def _depth(height: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Depth in [0, 1] of the clouds: where the height's rank is among the highest `fraction`, 0 elsewhere."""
    rank = np.empty(height.size)
    rank[np.argsort(height, axis=None, kind="stable")] = (np.arange(height.size) + 0.5) / height.size
    return np.clip((rank.reshape(height.shape) - (1 - fraction)) / fraction, 0, 1)
