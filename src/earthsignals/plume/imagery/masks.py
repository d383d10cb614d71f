"""Which pixels of a flightline people have marked: plume, or enhancement that is no methane.

Label images come in two forms. A single band holds 0 (nothing), 1 (plume) and 2 (false enhancement), or
0 and 255. In colour, as weak labels of flightlines are painted: red is plume, cyan is false enhancement,
black or transparent is nothing.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from earthsignals.plume.imagery.envi import FlightlineError, check_size, find_pair, read_header
from earthsignals.plume.imagery.flightline import stem_of

NONE, PLUME, FALSE_ENHANCEMENT = 0, 1, 2
_PICTURES = (".png", ".tif", ".tiff")
_BRIGHT = 128


def read_mask(path: str | Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (lines, samples): 0 nothing, 1 plume, 2 false enhancement.

    shape: that of the flightline, which the mask must have. Raises FlightlineError for another shape, for
    values or colours without a meaning, and for files that cannot be read.
    """
    path = Path(path)
    with _open(path) as source:
        _check_shape(path, (source.height, source.width), shape)
        pixels, palette = _read(path, source), _palette(source)
    if palette is not None:
        pixels = palette[pixels[0]].transpose(2, 0, 1)
    return _from_values(path, pixels) if len(pixels) < 3 else _from_colours(path, pixels)


def find_mask(flightline: str | Path) -> Path | None:
    """The mask beside a flightline: `<stem>_mask` as .png, .tif or ENVI, or a chip's `labelbinary.tif`."""
    path = Path(flightline)
    stem = stem_of(path)
    names = [f"{stem}_mask{suffix}" for suffix in (*_PICTURES, ".img", "")]
    if path.name == "mag1c.tif":
        names = ["labelbinary.tif"]
    return next((found for name in names if (found := path.with_name(name)).is_file()), None)


def _open(path: Path) -> DatasetReader:
    driver = None
    if path.suffix.lower() not in _PICTURES:
        path, header = find_pair(path)
        check_size(path, read_header(header))
        driver = "ENVI"
    elif not path.is_file():
        raise FlightlineError(f"{path}: no such file; expected the mask of a flightline.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a mask lies where its flightline lies
        try:
            return rasterio.open(path, driver=driver)
        except RasterioError as error:
            raise FlightlineError(f"{path}: not readable as a mask ({error}); copy it again.") from None


def _read(path: Path, source: DatasetReader) -> np.ndarray:
    try:
        return source.read()
    except RasterioError as error:
        raise FlightlineError(f"{path}: its pixels cannot be read ({error}); copy it again.") from None


def _palette(source: DatasetReader) -> np.ndarray | None:
    """(256, 4) colours of a picture that stores their numbers, else None."""
    if source.count != 1 or source.dtypes[0] != "uint8":
        return None
    try:
        colours = source.colormap(1)
    except ValueError:
        return None
    table = np.zeros((256, 4), np.uint8)
    table[list(colours)] = list(colours.values())
    return table


def _check_shape(path: Path, found: tuple[int, int], shape: tuple[int, int] | None) -> None:
    if shape is None or found == tuple(shape):
        return
    turned = " (it looks turned by 90 degrees or transposed)" if found == tuple(shape)[::-1] else ""
    raise FlightlineError(
        f"{path}: the mask has {found[0]} lines × {found[1]} samples, its flightline {shape[0]} × {shape[1]}"
        f"{turned}; give the mask drawn on this very image."
    )


def _from_values(path: Path, pixels: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(pixels[0]) if pixels.dtype.kind == "f" else pixels[0]
    if len(pixels) == 2:  # grey with alpha
        values = np.where(pixels[1] > 0, values, 0)
    known = set(np.unique(values).tolist())
    if known <= {0, 255}:
        return (values == 255).astype(np.uint8)
    if not known <= {NONE, PLUME, FALSE_ENHANCEMENT}:
        shown = ", ".join(f"{value:g}" for value in sorted(known)[:6])
        raise FlightlineError(
            f"{path}: the mask holds the values {shown}; expected 0 nothing, 1 plume, 2 false "
            "enhancement, or 0 and 255."
        )
    return values.astype(np.uint8)


def _from_colours(path: Path, pixels: np.ndarray) -> np.ndarray:
    red, green, blue = (pixels[i] >= _BRIGHT for i in range(3))
    painted = red | green | blue
    if len(pixels) > 3:
        painted &= pixels[3] >= _BRIGHT
    plume, false = painted & red & ~green & ~blue, painted & ~red & green & blue
    other = painted & ~plume & ~false
    if other.any():
        row, col = np.argwhere(other)[0]
        raise FlightlineError(
            f"{path}: {int(other.sum())} pixels have a colour without a meaning, the first "
            f"{tuple(int(v) for v in pixels[:3, row, col])} at line {row}, sample {col}; expected red for "
            "plume, cyan for false enhancement, black for nothing."
        )
    return np.where(plume, PLUME, np.where(false, FALSE_ENHANCEMENT, NONE)).astype(np.uint8)
