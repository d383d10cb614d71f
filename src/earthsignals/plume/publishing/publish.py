"""Plumes as tables and maps that other programs open: GeoPackage, GeoJSON, quick look, KMZ.

One scene's plumes, their masses and rates become rows with outline and source point. The GeoPackage is in
the flightline's own map, rotation included, or in pixels where there is no map; GeoJSON is in longitude
and latitude as RFC 7946 wants it. Files without a plume are written too: "none found" is a result.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import pandas
import pyogrio
from shapely.geometry import Point, mapping

from earthsignals.plume.detection.bearings import centre_of
from earthsignals.plume.detection.measure import PlumeScene, columns_of, rows_of
from earthsignals.plume.detection.outlines import geographic_outline, outline
from earthsignals.plume.publishing.kmz import write_kmz
from earthsignals.plume.publishing.quicklook import write_quicklook
from earthsignals.storage import EarthSignalsError, atomic_path

# The GeoPackage standard wants a date; a fixed one keeps equal plumes equal bytes.
DATE = "2000-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Published:
    """The files by kind, what was left out and why, and the counts of plumes kept and rejected."""

    paths: dict[str, Path]
    left_out: dict[str, str]
    counts: dict[str, int]


def publish_all(scene: PlumeScene, folder: Path) -> Published:
    """Write `<stem>_plumes.gpkg`, `.geojson`, `.png` and `.kmz` into `folder`, each atomically.

    Without a map there is no GeoJSON and no KMZ; the result says so. An old file of a kind that is left
    out is removed, so that no two of them tell different stories.
    """
    writers = {
        "gpkg": write_geopackage, "geojson": write_geojson, "png": write_quicklook, "kmz": write_kmz,
    }  # fmt: skip
    paths, left_out = {}, {}
    for kind, write in writers.items():
        path = Path(folder) / f"{scene.stem}_plumes.{kind}"
        if scene.crs is None and kind in ("geojson", "kmz"):
            left_out[kind] = "the flightline has no map reference, and this kind needs longitude and latitude"
            path.unlink(missing_ok=True)
            continue
        write(path, scene)
        paths[kind] = path
    counts = {"plumes": len(scene.detections), **scene.detections.rejected}
    return Published(paths, left_out, counts)


def write_geopackage(path: Path, scene: PlumeScene) -> None:
    """Write layers `plumes` (outlines) and `sources` (points) in the flightline's map.

    Without a map the coordinates are pixels (column, row) with no CRS; rows count downwards there.
    Equal plumes give equal bytes.
    """
    rows = rows_of(scene)
    table = _frame(rows, columns_of(scene.winds))
    geometry = {
        "plumes": ("MultiPolygon", [outline(plume, scene.transform) for plume in scene.detections]),
        "sources": (
            "Point",
            [Point(centre_of(scene.transform, p.source_row, p.source_col)) for p in scene.detections],
        ),
    }
    crs = None if scene.crs is None else scene.crs.to_wkt()
    with atomic_path(path) as temporary:
        for layer, (kind, shapes) in geometry.items():
            frame = geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(shapes, crs=crs), crs=crs)
            _write_layer(temporary, layer, frame, kind)
        _fix_date(temporary)


def write_geojson(path: Path, scene: PlumeScene) -> None:
    """Write the outlines as a GeoJSON feature collection in WGS84 longitude and latitude (RFC 7946).

    Rings are right-handed and coordinates rounded to 1e-7 degrees, a centimetre. Raises
    EarthSignalsError where the flightline has no CRS.
    """
    if scene.crs is None:
        raise EarthSignalsError(
            f"{path}: GeoJSON is in longitude and latitude, but {scene.stem} has no map reference; "
            "use the GeoPackage, which is in pixels then"
        )
    lines = []
    for plume, row in zip(scene.detections, rows_of(scene), strict=True):
        polygons = geographic_outline(plume, scene.transform, scene.crs)
        feature = {
            "type": "Feature", "id": row["id"], "bbox": [round(v, 7) for v in polygons.bounds],
            "geometry": mapping(polygons), "properties": row,
        }  # fmt: skip
        lines.append(json.dumps(feature, allow_nan=False, ensure_ascii=False))
    text = '{"type": "FeatureCollection", "name": "plumes", "features": [\n' + ",\n".join(lines) + "\n]}\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pandas.DataFrame:
    kinds = {"str": "str", "float": "float64", "int": "int64"}
    return pandas.DataFrame(
        {
            name: pandas.Series([row[name] for row in rows], dtype=kinds[kind])
            for name, kind in columns.items()
        }
    )


def _write_layer(path: Path, layer: str, frame: geopandas.GeoDataFrame, kind: str) -> None:
    with warnings.catch_warnings():
        # No map reference is a case of its own here, not an oversight.
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)
        pyogrio.write_dataframe(
            frame, path, driver="GPKG", layer=layer, geometry_type=kind, append=path.exists()
        )


def _fix_date(path: Path) -> None:
    """Set the date of every layer, which GDAL takes from the clock."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE gpkg_contents SET last_change = ?", (DATE,))
