"""ENVI files: a text header beside a bare binary. The header read, checked against its binary, and written.

    samples = 669            columns                 interleave = bip     bsq: band by band, bil: line by
    lines = 2801             rows                                         line, bip: pixel by pixel
    bands = 4                                        byte order = 0       0 little-endian, 1 big-endian
    data type = 5            `DTYPES` below          header offset = 0    bytes before the first pixel
    map info = {UTM, 1, 1, 272247.15, 3992010.65, 3.1, 3.1, 11, North, WGS-84, units=Meters, rotation=17}

`map info` gives the projection, a tie pixel (column, line; 1, 1 is the outer corner of the first pixel), its
map coordinates, the pixel's width and height, and the angle in degrees by which the columns turn
counter-clockwise from east. Format: ENVI header files, NV5 Geospatial documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from earthsignals.storage import EarthSignalsError, atomic_path

DTYPES = {
    1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
COMPLEX = {6, 9}
INTERLEAVES = ("bsq", "bil", "bip")
DATA_SUFFIXES = (".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin")
_AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}  # of an array (bands, lines, samples)
_SQUARE = 1e-9  # relative difference up to which two pixel sides are the same


class FlightlineError(EarthSignalsError):
    """A flightline or raster file that cannot be used as it stands."""


class Georeference(NamedTuple):
    """Where an image lies: pixel corner (column, row) → map by `transform`, in `crs` (None: unknown)."""

    transform: Affine = Affine.identity()
    crs: CRS | None = None


@dataclass(frozen=True)
class Header:
    """A checked header. dtype carries the byte order; `fields` has every entry, keys in lower case."""

    path: Path
    lines: int
    samples: int
    bands: int
    dtype: np.dtype
    interleave: str
    offset: int
    fields: Mapping[str, str]

    @property
    def data_bytes(self) -> int:
        """Size of the binary that this header describes, offset included."""
        return self.offset + self.lines * self.samples * self.bands * self.dtype.itemsize

    @property
    def band_names(self) -> tuple[str, ...]:
        """As many names as bands; `Band n` where the header has none."""
        names = _items(self.fields.get("band names", ""))
        return tuple(names[i] if i < len(names) else f"Band {i + 1}" for i in range(self.bands))


# ------------------------------------------------------------------------------------ names of the pair
def header_path(binary: Path) -> Path:
    """The header's name for a binary: `<stem>.hdr` for `<stem>` or `<stem>.img`."""
    if binary.suffix.lower() in DATA_SUFFIXES:
        return binary.with_suffix(".hdr")
    return binary.with_name(binary.name + ".hdr")


def find_pair(path: str | Path) -> tuple[Path, Path]:
    """(binary, header) of an ENVI file, given either of the two.

    Names: `<stem>` or `<stem>.img` (.dat, .bsq, .bil, .bip, .raw, .bin) with `<stem>.hdr`, or
    `<stem>.img.hdr`. Raises FlightlineError where one of them is missing or the choice is not plain.
    """
    path = Path(path)
    if path.suffix.lower() == ".hdr":
        return _binary_of(path), path
    if not path.is_file():
        raise FlightlineError(f"{path}: no such file; give the binary of an ENVI flightline, or a GeoTIFF.")
    for name in dict.fromkeys((path.name + ".hdr", header_path(path).name)):  # GDAL's order
        for candidate in (path.with_name(name), path.with_name(name[:-4] + ".HDR")):
            if candidate.is_file():
                return path, candidate
    raise FlightlineError(
        f"{path}: there is no ENVI header {header_path(path).name} beside it, so its lines, samples and data "
        "type are unknown; put the .hdr of the same product there."
    )


def _binary_of(header: Path) -> Path:
    if not header.is_file():
        raise FlightlineError(f"{header}: no such file; give an ENVI binary or its header.")
    base = header.with_suffix("")
    found = [p for p in (base, *(Path(f"{base}{s}") for s in DATA_SUFFIXES)) if p.is_file()]
    if not found:
        raise FlightlineError(
            f"{header}: the binary it describes is not beside it; expected {base.name} or {base.name}.img "
            "in the same folder."
        )
    if len(found) > 1:
        raise FlightlineError(
            f"{header}: it may describe {' or '.join(p.name for p in found)}; give the binary you mean."
        )
    return found[0]


# ------------------------------------------------------------------------------------------- reading
def read_header(path: str | Path) -> Header:
    """Parse and check a header file. Raises FlightlineError naming the entry that cannot be used."""
    path = Path(path)
    fields = _fields(path)
    lines, samples, bands = (_number(path, fields, key, 1) for key in ("lines", "samples", "bands"))
    code = _number(path, fields, "data type", 1)
    if code in COMPLEX:
        raise FlightlineError(
            f"{path}: data type {code} is complex; expected real ppm·m. Export the real part as data type 4."
        )
    if code not in DTYPES:
        raise FlightlineError(
            f"{path}: data type {code} is none that ENVI knows; expected one of "
            f"{', '.join(map(str, DTYPES))} (4 is float32)."
        )
    interleave = fields.get("interleave", "").lower()
    if interleave not in INTERLEAVES:
        raise FlightlineError(
            f"{path}: interleave is {interleave or 'missing'}, expected bsq, bil or bip; correct that line."
        )
    order = _number(path, fields, "byte order", 0, default=0)
    if order > 1:
        raise FlightlineError(
            f"{path}: byte order is {order}, expected 0 (little-endian) or 1 (big-endian)."
        )
    if fields.get("file compression", "0") != "0":
        raise FlightlineError(
            f"{path}: the binary is compressed; unpack it (gunzip) and set file compression = 0."
        )
    for key in ("major frame offsets", "minor frame offsets"):
        if any(item not in ("", "0") for item in _items(fields.get(key, ""))):
            raise FlightlineError(f"{path}: {key} are not supported; write the image anew without frames.")
    return Header(
        path=path, lines=lines, samples=samples, bands=bands, interleave=interleave, fields=fields,
        dtype=np.dtype(DTYPES[code]).newbyteorder("<" if order == 0 else ">"),
        offset=_number(path, fields, "header offset", 0, default=0),
    )  # fmt: skip


def check_size(binary: Path, header: Header) -> None:
    """Refuse a binary whose size is not what its header says.

    Too long is refused like too short: a header with wrong samples reads as a sheared image, which
    nothing later would notice. Raises FlightlineError with the way out.
    """
    size, expected = binary.stat().st_size, header.data_bytes
    if size == expected:
        return
    line = header.samples * header.dtype.itemsize
    says = (
        f"{binary}: {size:,} bytes, but {header.path.name} says {header.lines} lines × {header.samples} "
        f"samples × {header.bands} bands of {header.dtype.name} from byte {header.offset}: {expected:,} bytes"
    )
    if size > expected:
        extra = size - expected
        hint = f"{extra // line} lines of one band" if extra % line == 0 else f"{extra:,} bytes"
        raise FlightlineError(
            f"{says}. That is {hint} too many: correct lines, samples, bands, data type or offset in the "
            f"header, or if the rest is padding cut it off with `truncate -s {expected} {binary.name}`."
        )
    remedy = "copy or download it again"
    whole = (size - header.offset) // (line * header.bands)
    if header.interleave != "bsq" and whole > 0:
        remedy += f", or set lines = {whole} in the header to use the whole lines that are there"
    raise FlightlineError(f"{says}. It is cut off: {remedy}.")


def map_transform(header: Header) -> Affine | None:
    """Pixel corner (column, row) → map from `map info`; None where it is missing or says nothing.

    A column is a step of width·(cos θ, sin θ), a row one of height·(sin θ, −cos θ), θ the rotation, and the
    tie pixel lies at its coordinates. GDAL agrees for square pixels and a tie pixel of 1, 1; for others it
    forgets to turn the way from the tie pixel to the corner. A rotation of 180 is read as GDAL reads and
    writes it: lines run northward, columns still eastward.
    """
    items = _items(header.fields.get("map info", ""))
    options = dict(item.lower().split("=", 1) for item in items if "=" in item)
    try:
        col, row, x, y, width, height = (float(item) for item in items[1:7])
        degrees = float(options.get("rotation", 0))
    except ValueError:
        return None
    finite = all(map(math.isfinite, (col, row, x, y, width, height, degrees)))
    unit = options.get("units", "").strip()
    placed = bool(unit) or "coordinate system string" in header.fields
    nameless = items[0].lower() == "arbitrary" and not placed
    if not finite or width == 0 or height == 0 or nameless or unit in ("minutes", "seconds"):
        return None
    if abs(abs(degrees) - 180) < 1e-5:
        degrees, height = 0.0, -height
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    linear = Affine(width * cos, height * sin, 0, width * sin, -height * cos, 0)
    east, north = linear @ (col - 1, row - 1)
    return Affine(linear.a, linear.b, x - east, linear.d, linear.e, y - north)


def _fields(path: Path) -> dict[str, str]:
    """Entries `key = value` and `key = {value over lines}`; keys in lower case, the first of two wins."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FlightlineError(f"{path}: cannot be read ({error.strerror}).") from None
    if not text.lstrip("\ufeff").startswith("ENVI"):
        raise FlightlineError(f"{path}: its first line is not `ENVI`, so it is no ENVI header.")
    fields: dict[str, str] = {}
    pattern = re.compile(r"^[ \t]*([^=\n;{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n{]*)", re.MULTILINE)
    for match in pattern.finditer(text):
        key = " ".join(match[1].lower().split())
        fields.setdefault(key, match[2].strip().strip("{}").strip())
    return fields


def _number(
    path: Path, fields: Mapping[str, str], key: str, least: int, default: int | None = None
) -> int:
    text = fields.get(key, "" if default is None else str(default))
    if not re.fullmatch(r"\d+", text) or int(text) < least:
        raise FlightlineError(
            f"{path}: {key} is {text or 'missing'}, expected a whole number of at least {least}."
        )
    return int(text)


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",")] if value.strip() else []


# ------------------------------------------------------------------------------------------- writing
def envi_header(
    shape: tuple[int, int, int], dtype: Any, *, like: Any = None, band_names: Sequence[str] = (),
    interleave: str = "bsq", nodata: float | None = None, description: str = "",
    fields: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Text of a header for a little-endian binary without offset.

    shape: (bands, lines, samples). like: anything with `transform` and `crs` (a Flightline, a Georeference)
    or None. fields: further entries, written as they are. GDAL reads the same transform back.

    Raises FlightlineError for a dtype ENVI has not, or a transform that `map info` cannot express.
    """
    bands, lines, samples = shape
    kind = np.dtype(dtype).str[1:]
    code = next((code for code, known in DTYPES.items() if known == kind), None)
    if code is None or interleave not in INTERLEAVES:
        raise FlightlineError(
            f"ENVI has no {np.dtype(dtype).name} as {interleave}; expected a real type and bsq, bil or bip."
        )
    entries = {"description": f"{{{_unbraced(description)}}}"} if description else {}
    entries |= {
        "samples": str(samples), "lines": str(lines), "bands": str(bands), "header offset": "0",
        "file type": "ENVI Standard", "data type": str(code), "interleave": interleave, "byte order": "0",
    }  # fmt: skip
    entries |= _georeference(like)
    if band_names:
        if len(band_names) != bands:
            raise ValueError(f"{len(band_names)} band names for {bands} bands")
        names = (_unbraced(name).replace(",", ";") for name in band_names)
        entries["band names"] = "{" + ", ".join(names) + "}"
    if nodata is not None:
        entries["data ignore value"] = f"{nodata:.17g}"
    entries |= fields or {}
    return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())


def write_envi(
    path: str | Path, array: np.ndarray, *, like: Any = None, band_names: Sequence[str] = (),
    interleave: str = "bsq", nodata: float | None = -9999.0, description: str = "",
    fields: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write `array` (lines, samples) or (bands, lines, samples) as ENVI binary `path` with its header.

    NaN and infinity become `nodata`, which is declared for floats alone. Little-endian, the same bytes
    for the same values. The old header goes first and the new one comes last, so that a reader, who
    refuses a binary without header, never sees half a pair. Raises as `envi_header` does.
    """
    path = Path(path)
    cube = np.asarray(array)
    cube = cube[None] if cube.ndim == 2 else cube
    if cube.ndim != 3 or cube.size == 0:
        raise ValueError(f"array of shape {cube.shape}: expected (lines, samples) or (bands, lines, samples)")
    real = cube.dtype.kind == "f"
    text = envi_header(
        cube.shape, cube.dtype, like=like, band_names=band_names, interleave=interleave,
        nodata=nodata if real else None, description=description, fields=fields,
    )  # fmt: skip
    remove_headers(path)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        ordered = cube.transpose(_AXES[interleave])
        for part in ordered:  # one band or one line at a time: no second copy of the whole
            if real and nodata is not None:
                part = np.where(np.isfinite(part), part, part.dtype.type(nodata))
            file.write(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes())
    write_header(path, text)


def write_header(binary: str | Path, text: str) -> None:
    """Put the header `text` beside `binary`, atomically: last of all, the sign that the pair is whole."""
    remove_headers(Path(binary))  # a stale one of the other name would win
    with atomic_path(header_path(Path(binary))) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_headers(binary: Path) -> None:
    """Take away the headers of a binary that is about to be written anew."""
    for header in (header_path(binary), binary.with_name(binary.name + ".hdr")):
        header.unlink(missing_ok=True)


def _unbraced(text: str) -> str:
    """`text` on one line, its braces, which would end the entry, made round."""
    return " ".join(text.translate({ord("{"): "(", ord("}"): ")"}).split())


def _georeference(like: Any) -> dict[str, str]:
    """`map info` and `coordinate system string` of an image that lies where `like` lies."""
    if like is None or (like.crs is None and like.transform == Affine.identity()):
        return {}
    crs = None if like.crs is None else CRS.from_user_input(like.crs)
    width, height, degrees = _sides(like.transform)
    zone = None if crs is None else crs.to_epsg()
    # GDAL converts to the unit that stands here, so only metres and degrees are named.
    metric = crs is None or crs.is_geographic or crs.linear_units_factor[1] == 1.0
    name, datum, unit = "Arbitrary", [], ["units=Meters"] if metric else []
    if zone is not None and zone // 100 in (326, 327) and 1 <= zone % 100 <= 60:
        name, datum = "UTM", [str(zone % 100), "North" if zone // 100 == 326 else "South", "WGS-84"]
    elif crs is not None and crs.is_geographic:
        name, unit = "Geographic Lat/Lon", ["units=Degrees"]
        datum = ["WGS-84"] if zone == 4326 else []
    numbers = [repr(float(v)) for v in (like.transform.c, like.transform.f, width, height)]
    items = [name, "1", "1", *numbers, *datum, *unit]
    if degrees:
        items.append(f"rotation={degrees!r}")
    found = {"map info": "{" + ", ".join(items) + "}"}
    if crs is not None:
        found["coordinate system string"] = "{" + crs.to_wkt(version="WKT1_ESRI") + "}"
    return found


def _sides(transform: Affine) -> tuple[float, float, float]:
    """Pixel width, height and rotation [degrees, within ±90] that make `transform`'s linear part."""
    a, b, d, e = transform.a, transform.b, transform.d, transform.e
    width, degrees = math.hypot(a, d), math.degrees(math.atan2(d, a))
    if degrees > 90 or degrees <= -90:  # 180 means "northward lines" to GDAL: say it by the width's sign
        width, degrees = -width, degrees - math.copysign(180.0, degrees)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    height = b * sin - e * cos
    slack = _SQUARE * max(abs(width), abs(height))
    turned = abs(degrees) > 1e-9
    right = abs(height * sin - b) <= slack and abs(height * cos + e) <= slack
    if not right or width == 0 or height == 0 or (turned and abs(width - height) > slack):
        raise FlightlineError(
            f"the transform {tuple(transform)[:6]} is sheared, empty, or turns oblong or mirrored pixels; an "
            "ENVI header can only turn square ones. Resample the input to square pixels (gdalwarp -tr)."
        )
    return width, height, degrees if turned else 0.0
