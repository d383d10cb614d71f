"""A KMZ for Google Earth: the enhancement as an overlay, outlines, and sources with their numbers.

A KMZ is a zip with `doc.kml` and the pictures it names (OGC 12-007r2). Overlays in KML lie along
longitude and latitude, so the rotated flightline is warped to them first. Everything is written by hand
with fixed order and dates: equal plumes give equal bytes.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from affine import Affine
from matplotlib.image import imsave
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject, transform_bounds
from shapely.geometry import Polygon

from earthsignals.figures import style
from earthsignals.plume.detection.detect import smooth
from earthsignals.plume.detection.measure import PlumeScene, rows_of
from earthsignals.plume.detection.outlines import WGS84, geographic_outline
from earthsignals.plume.publishing.quicklook import enhancement_ceiling, enhancement_colours, rate_text
from earthsignals.storage import EarthSignalsError, atomic_path

NAMESPACE = "http://www.opengis.net/kml/2.2"
# The overlay's longer side; beyond it Google Earth shows no more, but loads for long.
MOST_PIXELS = 2048
DATE = (2000, 1, 1, 0, 0, 0)
# KML colours are alpha, blue, green, red: vermillion and white.
LINE, POINT = "ffffffff", "ff005ed5"
BALLOON = {
    "score": "saliency, highest", "area_m2": "area (m²)", "peak_ppm_m": "peak (ppm·m)",
    "length_m": "length (m)", "bearing_deg": "bearing from true north (°)", "ime_kg": "mass (kg)",
    "ime_error_kg": "mass, standard error (kg)", "fetch_m": "fetch (m)", "flags": "flags",
    "model_md5": "model",
}  # fmt: skip


def write_kmz(path: Path, scene: PlumeScene) -> None:
    """Write overlay, outlines, sources and colour bar of a scene as `path`.

    Raises EarthSignalsError where the flightline has no CRS.
    """
    if scene.crs is None:
        raise EarthSignalsError(
            f"{path}: a KMZ is in longitude and latitude, but {scene.stem} has no map reference; use the "
            "GeoPackage and the PNG, which are in pixels then"
        )
    warped, (west, south, east, north) = warp(scene)
    ceiling = enhancement_ceiling(scene)
    with style():
        overlay = _png(enhancement_colours()(np.nan_to_num(warped, nan=0.0) / ceiling), np.isfinite(warped))
        bar = _colour_bar(ceiling)
    root = Element("kml", xmlns=NAMESPACE)
    document = SubElement(root, "Document")
    _text(document, name=scene.stem, open="1")
    _styles(document)
    ground = SubElement(document, "GroundOverlay")
    _text(ground, name=f"CH₄ enhancement, 0 to {ceiling:g} ppm·m")
    _text(SubElement(ground, "Icon"), href="enhancement.png")
    _text(SubElement(ground, "LatLonBox"), north=north, south=south, east=east, west=west)
    screen = SubElement(document, "ScreenOverlay")
    _text(screen, name="Colours")
    _text(SubElement(screen, "Icon"), href="colours.png")
    for corner in ("overlayXY", "screenXY"):
        SubElement(screen, corner, x="0.02", y="0.06", xunits="fraction", yunits="fraction")
    _placemarks(document, scene)
    ElementTree.indent(root)
    kml = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # doc.kml comes first: readers take the first KML in the archive.
        for name, data in (("doc.kml", kml), ("enhancement.png", overlay), ("colours.png", bar)):
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def warp(scene: PlumeScene) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """The smoothed enhancement on a grid of longitude and latitude, NaN outside, and its bounds.

    Bounds are (west, south, east, north) in degrees and hold the whole image. Pixels keep the image's
    size on the ground unless that makes more than `MOST_PIXELS` of them along a side.
    """
    lines, samples = scene.ch4.shape
    corners = [scene.transform @ corner for corner in ((0, 0), (samples, 0), (0, lines), (samples, lines))]
    xs, ys = zip(*corners, strict=True)
    box = transform_bounds(scene.crs, WGS84, min(xs), min(ys), max(xs), max(ys), densify_pts=21)
    west, south, east, north = box
    squeeze = math.cos(math.radians((south + north) / 2))
    degree_m = 111_320.0
    wide, high = (east - west) * degree_m * squeeze, (north - south) * degree_m
    step = max(scene.pixel_m, max(wide, high) / MOST_PIXELS)
    shape = (max(math.ceil(high / step), 1), max(math.ceil(wide / step), 1))
    place = Affine((east - west) / shape[1], 0, west, 0, (south - north) / shape[0], north)
    out = np.full(shape, np.nan, dtype=np.float32)
    reproject(
        smooth(scene.ch4, scene.smoothing_m / scene.pixel_m / 2), out, src_transform=scene.transform,
        src_crs=scene.crs, src_nodata=np.nan, dst_transform=place, dst_crs=WGS84, dst_nodata=np.nan,
        resampling=Resampling.average if step > 1.5 * scene.pixel_m else Resampling.bilinear,
    )  # fmt: skip
    return out, box


def _placemarks(document: Element, scene: PlumeScene) -> None:
    outlines, sources = SubElement(document, "Folder"), SubElement(document, "Folder")
    _text(outlines, name="Plumes")
    _text(sources, name="Sources")
    for plume, rates, row in zip(scene.detections, scene.rates, rows_of(scene), strict=True):
        place = SubElement(outlines, "Placemark", id=f"plume-{plume.id}")
        _text(place, name=f"Plume {plume.id}", description=balloon(row, scene), styleUrl="#plume")
        many = SubElement(place, "MultiGeometry")
        for part in geographic_outline(plume, scene.transform, scene.crs).geoms:
            _polygon(many, part)
        place = SubElement(sources, "Placemark", id=f"source-{plume.id}")
        label = f"{plume.id}: {rate_text(rates[0])}"
        _text(place, name=label, description=balloon(row, scene), styleUrl="#source")
        at = f"{row['source_lon']:.7f},{row['source_lat']:.7f},0"
        _text(SubElement(place, "Point"), coordinates=at)


def balloon(row: Mapping[str, Any], scene: PlumeScene) -> str:
    """The numbers of one plume as an HTML table."""
    lines = [(text, row[name]) for name, text in BALLOON.items() if row[name] not in (None, "")]
    for number, wind in enumerate(scene.winds):
        end = "" if number == 0 else f"_{wind.name}"
        if row[f"rate_kg_h{end}"] is None:
            lines.append((f"rate, {wind.name}", row[f"rate_reason{end}"]))
            continue
        low, high = row[f"rate_low_95{end}"], row[f"rate_high_95{end}"]
        lines += [
            (f"rate, {wind.name} {row[f'wind_m_s{end}']:g} m/s (kg/h)", row[f"rate_kg_h{end}"]),
            ("68 % interval", f"{row[f'rate_low_68{end}']:.4g} to {row[f'rate_high_68{end}']:.4g}"),
            ("95 % interval", f"{low:.4g} to {high:.4g}"),
        ]
    lines.append(("source, latitude and longitude", f"{row['source_lat']:.6f}, {row['source_lon']:.6f}"))
    cells = "".join(f"<tr><td>{escape(text)}</td><td>{escape(_shown(v))}</td></tr>" for text, v in lines)
    return f"<b>{escape(row['id'])}</b><table>{cells}</table>"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _polygon(parent: Element, polygon: Polygon) -> None:
    element = SubElement(parent, "Polygon")
    _text(element, tessellate="1")
    for tag, rings in (("outerBoundaryIs", [polygon.exterior]), ("innerBoundaryIs", polygon.interiors)):
        for ring in rings:
            line = SubElement(SubElement(element, tag), "LinearRing")
            _text(line, coordinates=_coordinates(ring.coords))


def _coordinates(points: Iterable[tuple[float, ...]]) -> str:
    return " ".join(f"{x:.7f},{y:.7f},0" for x, y, *_ in points)


def _styles(document: Element) -> None:
    plume = SubElement(document, "Style", id="plume")
    _text(SubElement(plume, "LineStyle"), color=LINE, width="2")
    _text(SubElement(plume, "PolyStyle"), fill="0")
    source = SubElement(document, "Style", id="source")
    icon = SubElement(source, "IconStyle")
    _text(icon, color=POINT, scale="0.9")
    _text(SubElement(icon, "Icon"), href="http://maps.google.com/mapfiles/kml/shapes/placemark_circle.png")


def _text(parent: Element, **entries: object) -> None:
    """Child elements with text, in the order given; numbers with all digits that tell them apart."""
    for tag, value in entries.items():
        SubElement(parent, tag).text = repr(float(value)) if isinstance(value, float) else str(value)


def _png(colours: NDArray[np.float64], valid: NDArray[np.bool_]) -> bytes:
    colours = np.array(colours)
    colours[~valid, 3] = 0.0
    file = io.BytesIO()
    imsave(file, np.round(colours * 255).astype(np.uint8), format="png", metadata={"Software": None})
    return file.getvalue()


def _colour_bar(ceiling: float) -> bytes:
    """A small colour bar for the corner of the screen."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2.4, 0.55), layout="constrained")
    axes.imshow(
        np.linspace(0, 1, 256)[None], aspect="auto", cmap=enhancement_colours(), extent=(0, ceiling, 0, 1)
    )
    axes.set(facecolor="0.45", xlabel="CH₄ enhancement (ppm·m)")
    axes.set_yticks([])
    axes.grid(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()
