"""Bands of one scan as three bands of brightness on a plane.

Reflective bands (C01–C06) become reflectance: radiance times π d²/E (distance of the sun in astronomical
units and solar irradiance, both of the file itself), over the cosine of the sun's zenith angle. Brightness is
reflectance to the power 1/2.2, the curve of screens. ABI has no green band: green of true colour is
0.45 red (C02) + 0.10 veggie (C03) + 0.45 blue (C01), after Bah et al. 2018, Earth Space Sci. 5, 549–558. The
air's own light is not taken out: that needs tables from the network. Emissive bands (C07–C16) become
brightness temperature, 310 K black to 190 K white, so that clouds are bright in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np
import pyproj
import satpy
from pyresample.geometry import AreaDefinition

from earthsignals.clouds.goes.buckets import parse_name
from earthsignals.clouds.goes.sun import cosine_of_zenith, elevation
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.regrid import to_plane
from earthsignals.storage import EarthSignalsError

Composite = str | tuple[str, str, str]

GAMMA = 2.2
WARM_K, COLD_K = 310.0, 190.0
"""Brightness temperatures of brightness 0 and 255."""
LOWEST_SUN = 10.0
"""Elevation in degrees at the plane's centre below which it counts as night."""
LOWEST_SUN_OF_PIXEL = 5.0
"""Degrees; pixels with a lower sun are unknown: their reflectance is noise over next to nothing."""
DARKEST = 0.01
"""A visible scene of a smaller mean reflectance shows the night, whatever its time says."""

_BANDS = {
    "true_colour": ("C02", "C03", "C01"), "bt_11": ("C11",) * 3, "bt_14": ("C14",) * 3, "bt_15": ("C15",) * 3,
    "infrared_rgb": ("C11", "C14", "C15"),
}  # fmt: skip
_BAND = re.compile(r"C(0[1-9]|1[0-6])")
DAMAGED = (OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError, IndexError)
"""What satpy, xarray and netCDF4 raise on files that are truncated or not what they seem."""


def bands_of(composite: Composite) -> tuple[str, str, str]:
    """The three bands that a composite is made of; equal ones for a grey picture.

    Raises EarthSignalsError for a name that is no band's.
    """
    if isinstance(composite, str):
        return _BANDS[composite]
    for band in composite:
        if not _BAND.fullmatch(band):
            raise EarthSignalsError(
                f"clouds.goes.composite names the band `{band}`, expected three of C01 … C16"
            )
    return composite


def is_visible(composite: Composite) -> bool:
    """Does it need sunlight, having a reflective band?"""
    return any(_is_reflective(band) for band in bands_of(composite))


def load(
    files: Sequence[Path], composite: Composite, plane: Plane
) -> tuple[np.ndarray, np.ndarray, tuple[str, str, str], str]:
    """The scan in `files`, one for each band, on `plane`.

    Returns values (3, H, W) uint8 in 255ths of full scale, which pixels are known (H, W) bool (values are 0
    elsewhere), the bands' names and the product, `visible` or `infrared`. No network is used.

    Raises RefusedScene with the reason `missing-bands`, `night` (sun lower than `LOWEST_SUN` at the centre,
    or mean reflectance below `DARKEST`), `off-disk` (no pixel is seen) or `unreadable`.
    """
    needed, visible = bands_of(composite), is_visible(composite)
    start = min(parse_name(path.name).start for path in files)
    paths = _by_band(files, composite)
    if visible and (height := elevation(start, plane.latitude, plane.longitude)) < LOWEST_SUN:
        raise _night(files[0], composite, f"the sun stands {height:.0f}° high at the scene's centre")
    read = {band: _read(paths[band], band, plane) for band in sorted(set(needed))}
    valid = np.logical_and.reduce([known for _, known in read.values()])
    cosine = np.ones(plane.shape)
    if visible:
        longitude, latitude = plane.lonlat()
        cosine = cosine_of_zenith(start, latitude, longitude)
        valid &= cosine >= np.sin(np.radians(LOWEST_SUN_OF_PIXEL))
    if not valid.any():
        raise RefusedScene(
            files[0], "off-disk",
            f"no pixel around {plane.latitude:.1f}° N, {plane.longitude:.1f}° E is known in it; choose a "
            "domain or a product in which the satellite sees that place",
        )  # fmt: skip
    shares = {band: _share(band, values, np.where(valid, cosine, 1)) for band, (values, _) in read.items()}
    light = [share[valid].mean() for band, share in shares.items() if _is_reflective(band)]
    if light and np.mean(light) < DARKEST:
        raise _night(files[0], composite, f"its mean reflectance is {np.mean(light):.2%}")
    if composite == "true_colour":
        names, layers = ("red", "green", "blue"), _true_colour(shares)
    else:
        names, layers = needed, [_shown(band, shares[band]) for band in needed]
    values = np.round(255 * np.stack(layers)).astype(np.uint8)
    values[:, ~valid] = 0
    return values, valid, names, "visible" if visible else "infrared"


def _by_band(files: Sequence[Path], composite: Composite) -> dict[str, Path]:
    """The file of each band; raises RefusedScene when one is missing that the composite needs."""
    paths = {parse_name(path.name).band: path for path in files}
    missing = sorted(set(bands_of(composite)) - set(paths))
    if missing:
        raise RefusedScene(
            files[0], "missing-bands",
            f"the scan has no {', '.join(missing)}, which {_named(composite)} needs besides what is there "
            f"({', '.join(sorted(paths))}); add these files or choose another clouds.goes.composite",
        )  # fmt: skip
    return paths


def _share(band: str, values: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """From 0 to 1: reflectance of a reflective band's per cent, or the place between warm and cold."""
    if _is_reflective(band):
        return np.clip(values / 100 / cosine, 0, 1)
    return np.clip((WARM_K - values) / (WARM_K - COLD_K), 0, 1)


def damaged(path: Path, error: Exception) -> RefusedScene:
    """The refusal of a file that could not be read for `error`, one of `DAMAGED`."""
    cause = " ".join(str(error).split()).split(": '/")[0][:80]
    return RefusedScene(
        path, "unreadable",
        f"it is no whole ABI L1b file ({type(error).__name__}: {cause}); delete it and fetch it again",
    )  # fmt: skip


def _true_colour(shares: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    red, veggie, blue = shares["C02"], shares["C03"], shares["C01"]
    return [layer ** (1 / GAMMA) for layer in (red, 0.45 * red + 0.10 * veggie + 0.45 * blue, blue)]


def _shown(band: str, share: np.ndarray) -> np.ndarray:
    return share ** (1 / GAMMA) if _is_reflective(band) else share


def _read(path: Path, band: str, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance in per cent or brightness temperature in K on the plane, (H, W) float32, and what is known.

    Only the part of the file that the plane lies in is read.
    """
    try:
        with _offline():
            scene = satpy.Scene(reader="abi_l1b", filenames=[str(path)])
            scene.load([band])
            data = scene[band]
            rows, columns = _part(data.attrs["area"], plane)
            if rows.start >= rows.stop or columns.start >= columns.stop:
                return np.zeros(plane.shape, np.float32), np.zeros(plane.shape, bool)
            values = np.asarray(data.data[rows, columns].compute(scheduler="synchronous"))
            area = data.attrs["area"][rows, columns]
    except DAMAGED as error:
        raise damaged(path, error) from error
    found, known = to_plane(values[None], area, plane)
    return found[0], known


def _part(area: AreaDefinition, plane: Plane) -> tuple[slice, slice]:
    """Rows and columns of a raster among which the plane lies, with some more around; none if it does not."""
    height, width = plane.shape
    grid = np.meshgrid(np.linspace(-0.5, height - 0.5, 65), np.linspace(-0.5, width - 0.5, 65))
    latitude, longitude = plane.geolocate(*grid)
    x, y = pyproj.Proj(area.crs)(longitude, latitude)
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return slice(0, 0), slice(0, 0)
    left, bottom, right, top = area.area_extent
    row = (top - y[seen]) / (top - bottom) * area.height
    column = (x[seen] - left) / (right - left) * area.width
    return _around(row, area.height), _around(column, area.width)


def _around(indices: np.ndarray, size: int) -> slice:
    # Between points of the grid the plane's edge bends outwards by far less than a twentieth.
    margin = 8 + 0.05 * (indices.max() - indices.min())
    start, stop = np.floor(indices.min() - margin), np.ceil(indices.max() + margin)
    return slice(int(np.clip(start, 0, size)), int(np.clip(stop, 0, size)))


@contextmanager
def _offline() -> Iterator[None]:
    """satpy without its downloads of tables, and without threads beside this one."""
    with satpy.config.set(download_aux=False), dask.config.set(scheduler="synchronous"):
        yield


def _is_reflective(band: str) -> bool:
    return int(band[1:]) <= 6


def _named(composite: Composite) -> str:
    return composite if isinstance(composite, str) else "/".join(composite)


def _night(path: Path, composite: Composite, sign: str) -> RefusedScene:
    return RefusedScene(
        path, "night",
        f"{sign}, too little light for {_named(composite)}; choose times nearer to noon or an infra-red "
        "clouds.goes.composite",
    )  # fmt: skip
