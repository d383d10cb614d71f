"""A flightline: one matched-filter image on disk, opened once, read by windows as ppm·m.

    with open_flightline("ang20200924t211102_ch4mf_v2y1_img") as flightline:
        strip = flightline.read(rows=slice(0, 512))          # float32, NaN where there is no measurement

ENVI files (the form AVIRIS-NG products come in) and GeoTIFFs. An ENVI header is checked against its binary
before anything is read: GDAL would fill a cut file with zeros and read wrong byte orders without a word.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from earthsignals.plume.imagery.envi import (
    FlightlineError,
    Georeference,
    Header,
    check_size,
    envi_header,
    find_pair,
    header_path,
    map_transform,
    read_header,
    write_envi,
    write_header,
)  # fmt: skip
from earthsignals.plume.imagery.interleave import check_integer_order, check_interleave

__all__ = [
    "NODATA", "Flightline", "FlightlineError", "Georeference", "envi_header", "header_path",
    "open_flightline", "stem_of", "write_envi", "write_header",
]  # fmt: skip

NODATA = -9999.0
_CH4 = re.compile(r"ch4|methane", re.IGNORECASE)
_TIFF = (".tif", ".tiff")
_PROBED_LINES = 16
_PLAUSIBLE = (1e-9, 1e9)  # |ppm·m| of a value that is not zero
_WGS84 = (6378137.0, 6.69437999014e-3)  # semi-major axis [m], squared eccentricity


class Flightline:
    """An open image; made by `open_flightline`, closed by `close` or by leaving a `with`.

    shape: (lines, samples). band: number from 1 of the CH4 band, the one that is read by default.
    transform: pixel corner (column, row) → map; identity if there is no georeferencing. pixel_m: side of a
    square of the pixel's area, 1.0 if there is no georeferencing. tags: every entry of the header.
    One thread at a time: threads open their own.
    """

    def __init__(
        self, path: Path, source: DatasetReader, place: Georeference, names: tuple[str, ...], band: int,
        tags: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.path, self.stem = path, stem_of(path)
        self.shape: tuple[int, int] = (source.height, source.width)
        self.transform, self.crs = place
        self.pixel_m = _pixel_size(place, self.shape)
        self.band, self.band_names, self.tags = band, names, dict(tags)
        self._source = source

    def read(
        self, rows: slice | None = None, cols: slice | None = None, band: int | None = None
    ) -> np.ndarray:
        """A window of one band as float32 (rows, columns), NaN where there is no measurement.

        Missing are: the declared no-data value, −9999 declared or not, NaN and infinity. A declared no-data
        value of 0 is no sign of absence: no enhancement is a measurement, and sparse retrievals are full
        of it. Slices as numpy takes them, without steps.
        """
        window = Window.from_slices(*map(_bounds, (rows, cols), self.shape))
        number = self.band if band is None else band
        if not 1 <= number <= len(self.band_names):
            raise ValueError(f"band {number}: {self.path} has {len(self.band_names)}, counted from 1")
        if window.width == 0 or window.height == 0:
            return np.empty((window.height, window.width), np.float32)
        try:
            raw = self._source.read(number, window=window)
        except RasterioError as error:
            raise FlightlineError(
                f"{self.path}: its pixels cannot be read ({error}); copy or download it again."
            ) from None
        return self._measurements(raw, number)

    def _measurements(self, raw: np.ndarray, number: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            values = raw.astype(np.float32)
            missing = ~np.isfinite(values) | (values == np.float32(NODATA))
            declared = self._source.nodatavals[number - 1]
            if declared is not None and declared != 0:
                missing |= values == np.float32(declared)
            gain, shift = self._source.scales[number - 1], self._source.offsets[number - 1]
            if (gain, shift) != (1.0, 0.0):
                values = (raw * gain + shift).astype(np.float32)
        values[missing] = np.nan
        return values

    def close(self) -> None:
        """Close the file; reading is over."""
        self._source.close()

    def __enter__(self) -> Flightline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_flightline(path: str | Path, band: str | int | None = None) -> Flightline:
    """Open an ENVI image (its binary or its .hdr) or a GeoTIFF for reading by windows.

    band: name (or a part of one that only one band has) or number from 1 of the band to read; None takes
    the only or last band whose name says CH4 or methane, else the last.

    Raises FlightlineError naming file, fault and remedy: a missing or wrong header, a binary of another size
    than the header says, a byte order that makes the values absurd, an interleave or an integer byte order
    that makes them far rougher than another, complex values, an unknown band.
    """
    path = Path(path)
    if path.suffix.lower() in _TIFF:
        return _open_tiff(path, band)
    binary, header_file = find_pair(path)
    header = read_header(header_file)
    check_size(binary, header)
    source = _dataset(binary, "ENVI")
    try:
        _check_agreement(binary, header, source)
        transform, crs = map_transform(header), _usable(source.crs)
        place = Georeference() if transform is None else Georeference(transform, crs)
        number = _choose(binary, header.band_names, band)
        flightline = Flightline(binary, source, place, header.band_names, number, header.fields)
        _check_byte_order(flightline, header)
        check_integer_order(binary, header)
        check_interleave(binary, header)
    except BaseException:
        source.close()
        raise
    return flightline


def stem_of(path: str | Path) -> str:
    """Name of a flightline without the suffix of its file: what maps and tables are named by."""
    path = Path(path)
    known = (*_TIFF, ".hdr", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin")
    return path.stem if path.suffix.lower() in known else path.name


def _open_tiff(path: Path, band: str | int | None) -> Flightline:
    if not path.is_file():
        raise FlightlineError(f"{path}: no such file; give an ENVI flightline or a GeoTIFF.")
    source = _dataset(path, "GTiff")
    try:
        if any("complex" in kind for kind in source.dtypes):
            raise FlightlineError(
                f"{path}: its pixels are complex; expected real ppm·m. Export the real part as float32."
            )
        names = tuple(name or f"Band {i + 1}" for i, name in enumerate(source.descriptions))
        number = _choose(path, names, band)
        place = Georeference(source.transform, _usable(source.crs))
        return Flightline(path, source, place, names, number, source.tags())
    except BaseException:
        source.close()
        raise


def _dataset(path: Path, driver: str) -> DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # images without map info are welcome
        try:
            return rasterio.open(path, driver=driver)
        except RasterioError as error:
            raise FlightlineError(
                f"{path}: not readable as {driver} ({error}); check that it is whole and of that format."
            ) from None


def _check_agreement(binary: Path, header: Header, source: DatasetReader) -> None:
    """GDAL looks for the header by itself: make sure that it found the one that was checked."""
    theirs = (source.count, source.height, source.width, source.dtypes[0])
    ours = (header.bands, header.lines, header.samples, header.dtype.name)
    if theirs != ours:
        raise FlightlineError(
            f"{binary}: there are two headers for it; {header.path.name} says {ours} and the other {theirs}. "
            "Keep one of them."
        )


def _choose(path: Path, names: tuple[str, ...], band: str | int | None) -> int:
    """Number of the band that the user, its name or its place says holds CH4."""
    if band is None:
        named = [i for i, name in enumerate(names, 1) if _CH4.search(name)]
        return named[-1] if named else len(names)
    listing = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    if isinstance(band, str) and not band.strip().isdigit():
        wanted = band.strip().lower()
        exact = [i for i, name in enumerate(names, 1) if name.lower() == wanted]
        found = exact or [i for i, name in enumerate(names, 1) if wanted in name.lower()]
        if len(found) == 1:
            return found[0]
        fault = "fits several bands" if found else "is no band"
        raise FlightlineError(f"{path}: `{band}` {fault}; it has {listing}. Give a whole name or a number.")
    if not 1 <= int(band) <= len(names):
        raise FlightlineError(f"{path}: there is no band {band}; it has {listing}, counted from 1.")
    return int(band)


def _check_byte_order(flightline: Flightline, header: Header) -> None:
    """Refuse floats that are absurd as declared: bytes read in the wrong order spread over all exponents.

    Integers give no such sign; `check_integer_order` sees to them. Judged on a few lines of the band that was
    chosen; small values alone are no fault, since maps of probabilities are full of them.
    """
    if header.dtype.kind != "f":
        return
    lines = np.unique(np.linspace(0, header.lines - 1, _PROBED_LINES).round().astype(int))
    source, band = flightline._source, flightline.band
    probe = np.concatenate([source.read(band, window=Window(0, row, header.samples, 1))[0] for row in lines])
    huge, absurd = _absurd_shares(probe)
    if absurd > 0.1 and _absurd_shares(probe.byteswap())[1] < 0.1 * absurd:
        declared = int(header.dtype.newbyteorder("<") != header.dtype)
        raise FlightlineError(
            f"{flightline.path}: {absurd:.0%} of the sampled values are beyond 1e9 or below 1e-9 ppm·m, and "
            f"plausible the other way round; set byte order = {1 - declared} in {header.path.name}."
        )
    if huge > 0.5:
        raise FlightlineError(
            f"{flightline.path}: {huge:.0%} of the sampled values are beyond 1e9 ppm·m; check data type, "
            f"header offset and interleave in {header.path.name}, or choose another band."
        )


def _absurd_shares(values: np.ndarray) -> tuple[float, float]:
    """Shares, among finite values other than 0, of those too large, and of those too large or too small."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if not size.size:
        return 0.0, 0.0
    low, high = _PLAUSIBLE
    return float((size > high).mean()), float(((size > high) | (size < low)).mean())


def _usable(crs: CRS | None) -> CRS | None:
    """A CRS that maps can use, by its EPSG code where it has one; local systems say nothing."""
    if crs is None or not (crs.is_projected or crs.is_geographic):
        return None
    by_longitude = {("OGC", "CRS84"): 4326, ("OGC", "CRS83"): 4269}  # GDAL's names for them in this order
    code = by_longitude.get(crs.to_authority() or ("", ""), crs.to_epsg())
    return crs if code is None else CRS.from_epsg(code)


def _pixel_size(place: Georeference, shape: tuple[int, int]) -> float:
    """Side [m] of a square of the pixel's area; degrees are measured on the ellipsoid at the centre."""
    transform, crs = place
    area = abs(transform.determinant)
    if not (math.isfinite(area) and area > 0):
        return 1.0
    if crs is not None and crs.is_geographic:
        axis, eccentricity = _WGS84
        _, latitude = transform @ (shape[1] / 2, shape[0] / 2)
        shrink = 1 - eccentricity * math.sin(math.radians(latitude)) ** 2
        north = axis * (1 - eccentricity) / shrink**1.5
        east = axis / math.sqrt(shrink) * math.cos(math.radians(latitude))
        return math.sqrt(area * abs(north * east)) * math.pi / 180
    factor = 1.0 if crs is None else crs.linear_units_factor[1]
    return math.sqrt(area) * factor


def _bounds(part: slice | None, size: int) -> tuple[int, int]:
    start, stop, step = (part or slice(None)).indices(size)
    if step != 1:
        raise ValueError(f"{part}: a window has no step")
    return start, max(start, stop)
