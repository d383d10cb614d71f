"""A map as Cloud-Optimised GeoTIFF: tiled, compressed, with overviews, one file for any GIS or browser."""

from __future__ import annotations

import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.shutil import copy

from earthsignals.storage import EarthSignalsError, atomic_path


def write_cog(source: Path, target: Path) -> None:
    """Copy raster `source` to the COG `target`, atomically, block by block.

    Values, no-data value, CRS and rotation stay as they are; overviews are averages. Raises
    EarthSignalsError when GDAL cannot write it.
    """
    with atomic_path(target) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # scenes without a place are welcome
        try:
            with rasterio.open(source) as raster:
                copy(
                    raster, temporary, driver="COG", compress="deflate", predictor="floating_point",
                    blocksize=512, overview_resampling="average", bigtiff="if_safer",
                )  # fmt: skip
        except RasterioError as error:
            raise EarthSignalsError(
                f"{target} could not be written as a Cloud-Optimised GeoTIFF ({error}): leave --cog away, "
                "the ENVI map holds the same"
            ) from None
