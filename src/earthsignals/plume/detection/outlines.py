"""Outlines of plumes as polygons that the standards call valid."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS
from rasterio.warp import transform_geom
from shapely.geometry import MultiPolygon, mapping, shape
from shapely.geometry.polygon import orient

from earthsignals.plume.detection.detect import Plume

WGS84 = CRS.from_epsg(4326)
# A centimetre on the ground, as RFC 7946 suggests for longitudes and latitudes.
DEGREES = 1e-7


def outline(plume: Plume, place: Affine) -> MultiPolygon:
    """The outline of the plume's pixels in map coordinates, holes kept, pieces at corners joined."""
    here = place @ Affine.translation(plume.cols.start, plume.rows.start)
    pieces = [
        shape(geometry)
        for geometry, _ in features.shapes(
            plume.mask.astype(np.uint8), mask=plume.mask, connectivity=8, transform=here
        )
    ]
    # With corners joined a ring may touch itself, which the standards forbid: it is cut in two there.
    valid = shapely.union_all([shapely.make_valid(piece) for piece in pieces])
    parts = [part for part in getattr(valid, "geoms", [valid]) if part.geom_type == "Polygon"]
    return MultiPolygon(parts)


def geographic_outline(plume: Plume, place: Affine, crs: CRS) -> MultiPolygon:
    """The outline in WGS84 longitude and latitude, valid, right-handed, rounded to 1e-7 degrees."""
    carried = shape(transform_geom(crs, WGS84, mapping(outline(plume, place))))
    rounded = shapely.set_precision(carried, DEGREES)
    return MultiPolygon([orient(part) for part in getattr(rounded, "geoms", [rounded])])
