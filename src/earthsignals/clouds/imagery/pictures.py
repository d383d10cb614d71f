"""Pictures as scenes: JPEG and PNG whose place a world file or their name tells, and GeoTIFF.

    Aqua_CorrectedReflectance20071227_-61--40_10-24.jpeg       date, west-east, south-north

A picture spans its bounds evenly in longitude and latitude (EPSG:4326), as browse services deliver it. What
is black over some extent in a colour picture shows nothing: the gap between swaths, the night, the rim.
"""

from __future__ import annotations

import datetime as dt
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pyresample.geometry import AreaDefinition
from scipy import ndimage

from earthsignals.clouds.imagery.brightness import BYTES
from earthsignals.clouds.imagery.names import bounds_in_name, time_in_name
from earthsignals.clouds.imagery.placing import scene_from
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import Scene

PICTURES = (".jpg", ".jpeg", ".png")
_WORLD = {
    ".jpg": (".jgw", ".jpgw", ".wld"), ".jpeg": (".jgw", ".jpegw", ".wld"), ".png": (".pgw", ".pngw", ".wld"),
}  # fmt: skip
_BLACK = 3  # JPEG leaves that much in what was 0
_GAP_PX, _RIM_PX = 5, 4  # least width of a gap; what JPEG's blocks smear around it


@dataclass(frozen=True)
class Frame:
    """Where a picture lies: even steps in longitude and latitude."""

    west: float
    north: float
    """Outer corner of its first pixel, degrees."""
    width: int
    height: int
    step_longitude: float
    step_latitude: float
    """Degrees per pixel, both positive."""

    def locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (right) and y (down) of places in degrees, in pixels from the picture's upper left corner."""
        middle = self.west + self.width * self.step_longitude / 2
        near = middle + (np.asarray(longitude) - middle + 180) % 360 - 180
        down = self.north - np.asarray(latitude)
        return (near - self.west) / self.step_longitude, down / self.step_latitude

    def area(self) -> AreaDefinition:
        """The picture's pixels for pyresample; its east may lie beyond 180°."""
        east = self.west + self.width * self.step_longitude
        south = self.north - self.height * self.step_latitude
        return AreaDefinition(
            "picture", "picture", "picture", "EPSG:4326", self.width, self.height,
            (self.west, south, east, self.north),
        )  # fmt: skip


def picture_frame(path: str | Path) -> Frame:
    """Where a JPEG or PNG lies, by its world file (EPSG:4326), else by the bounds at the end of its name.

    Raises RefusedScene when neither tells, when the world file turns the picture, or for no picture at all.
    """
    path = Path(path)
    with _opened(path) as image:
        width, height = image.size
    for suffix in _WORLD[path.suffix.lower()]:
        for world in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if world.is_file():
                return _frame_of_world(world, width, height)
    bounds = bounds_in_name(path.stem)
    if bounds is None:
        raise RefusedScene(
            path, "no-place",
            "nothing tells where it lies; expected a world file beside it "
            f"({', '.join(_WORLD[path.suffix.lower()])}) or a name ending in _west-east_south-north",
        )  # fmt: skip
    west, east, south, north = bounds
    return Frame(west, north, width, height, (east - west) / width, (north - south) / height)


def read_picture(path: str | Path, pixel_km: float, time: dt.datetime | None = None) -> Scene:
    """The scene of a JPEG, PNG or GeoTIFF on a plane with pixels of `pixel_km`.

    time: in place of what its name tells. Raises RefusedScene when it cannot be read, when place or time are
    unknown, or when there is nothing on it.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURES:
        from earthsignals.clouds.imagery.geotiff import read_geotiff

        return read_geotiff(path, pixel_km, time)
    frame = picture_frame(path)
    time = time or time_in_name(path.stem)
    if time is None:
        raise RefusedScene(path, "no-time", "its name tells no date; put YYYYMMDD or YYYYMMDDTHHMM in it")
    values, known = _pixels(path)
    bands = ["red", "green", "blue"] if len(values) == 3 else ["grey"]
    shown = np.where(known, values, np.float32(np.nan))
    return scene_from(path, time, shown, frame.area(), [BYTES] * len(values), bands, pixel_km)


def gaps(values: np.ndarray) -> np.ndarray:
    """Where a colour picture (3, H, W) uint8 shows nothing: (H, W) bool.

    That is black over 5 x 5 pixels or more (the sea is dark blue, never black), and the few pixels around it
    into which the compression of JPEG smears it.
    """
    black = ndimage.binary_opening(values.max(axis=0) <= _BLACK, np.ones((_GAP_PX, _GAP_PX), bool))
    return ndimage.binary_dilation(black, np.ones((2 * _RIM_PX + 1,) * 2, bool))


def _pixels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bands (1 or 3, H, W) uint8 and which pixels show something (H, W) bool."""
    with _opened(path) as image:
        transparent = "A" in image.getbands() or "transparency" in image.info
        if image.mode not in ("L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "YCbCr"):
            raise RefusedScene(path, "scale", f"its pixels are of kind {image.mode}, expected 8 bits a band")
        try:
            pixels = np.asarray(image.convert("RGBA" if transparent else "RGB")).transpose(2, 0, 1)
        except (OSError, SyntaxError, ValueError) as error:
            raise RefusedScene(path, "unreadable", f"it cannot be decoded ({error})") from None
    values, known = pixels[:3], np.ones(pixels.shape[1:], bool)
    if transparent:
        known = pixels[3] > 0
    if (values[0] == values[1]).all() and (values[0] == values[2]).all():
        return values[:1], known  # grey: black may be a warm sea
    return values, known & ~gaps(values)


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise RefusedScene(
            path, "unreadable", f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels; cut it into parts"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        said = re.sub(r"\s*'.*'", "", str(error))
        raise RefusedScene(path, "unreadable", f"it cannot be opened as a picture ({said})") from None


def _frame_of_world(world: Path, width: int, height: int) -> Frame:
    """Of the six lines A, D, B, E, C, F: step, two turns, step down, centre of the first pixel."""
    try:
        numbers = [float(text.replace(",", ".")) for text in world.read_text(encoding="ascii").split()]
        step, turn, other_turn, down, centre_x, centre_y = numbers
    except (OSError, ValueError):
        raise RefusedScene(world, "no-place", "no world file: expected six numbers, one a line") from None
    if turn or other_turn or not (step > 0 > down):
        raise RefusedScene(world, "no-place", "it turns or mirrors the picture; expected north up")
    frame = Frame(centre_x - step / 2, centre_y - down / 2, width, height, step, -down)
    if frame.north > 90.1 or frame.north - height * frame.step_latitude < -90.1 or width * step > 360.1:
        raise RefusedScene(world, "no-place", "its numbers are no longitude and latitude (EPSG:4326)")
    return frame
