"""Small flightlines on disk and small parameters: enough to test files and interfaces, not accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from earthsignals.params import validate
from earthsignals.plume.imagery.envi import Georeference, write_envi
from earthsignals.plume.params import PlumeParams
from earthsignals.settings import Settings

QUIET = Settings(progress=False, workers=1, device="cpu")
STEM = "ang20200924t211102_ch4mf_v2y1_img"
BANDS = ("Red Radiance", "Green Radiance", "Blue Radiance", "CH4 Absorption (ppm x m)")
SECTIONS = (
    "scenes", "background", "surface", "emission", "tiles", "preprocessing", "train", "peers", "detection",
    "evaluate",
)  # fmt: skip

# The place of the flightline whose header srcfinder publishes: turned by 17 degrees.
PLACE = Georeference(
    Affine.translation(272247.152557, 3992010.65018) @ Affine.rotation(17.0) @ Affine.scale(3.1, -3.1),
    CRS.from_epsg(32611),
)


def small_params(**sections: dict) -> PlumeParams:
    """The room's defaults at a size for tests, with some values of some sections replaced."""
    values: dict = {name: {} for name in SECTIONS} | {
        "scenes": {"days": 4, "flightlines_per_day": 1, "lines": 160, "samples": 112},
        "train": {"epochs": 2, "batch_size": 16},
    }
    for section, changed in sections.items():
        values[section] = values[section] | changed
    return validate(PlumeParams, values, source="test", prefix="plume")


@pytest.fixture(scope="session")
def params() -> PlumeParams:
    """Four days of one small flightline each."""
    return small_params()


def plume_scene(lines: int, samples: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(ppm·m float32 (lines, samples) with NaN at the right edge, mask uint8): noise, a plume, a bright roof.

    The plume lies in the upper left quarter (mask 1), the roof in the lower right (mask 2).
    """
    rng = np.random.default_rng(seed)
    ch4 = rng.normal(0.0, 100.0, (lines, samples)).astype(np.float32)
    row, col = np.mgrid[:lines, :samples]
    mask = np.zeros((lines, samples), np.uint8)
    mask[(row - lines // 4) ** 2 + (col - samples // 4) ** 2 <= (min(lines, samples) // 8) ** 2] = 1
    mask[lines * 3 // 4 : lines * 3 // 4 + 4, samples // 2 : samples // 2 + 4] = 2
    ch4 += np.where(mask == 1, 1500.0, np.where(mask == 2, 900.0, 0.0)).astype(np.float32)
    ch4[:, samples - 2 :] = np.nan
    return ch4, mask


@pytest.fixture
def small_flightline(tmp_path: Path) -> Callable[..., Path]:
    """Factory of real ENVI flightlines with their masks; returns the binary's path.

    make(stem=..., lines=48, samples=40, bands=4, interleave="bip", dtype="f8", folder=None, mask=True,
    place=PLACE, seed=1): `<stem>.img` + `<stem>.hdr`, and `<stem>_mask.img` with its header.
    """

    def make(
        stem: str = STEM, *, lines: int = 48, samples: int = 40, bands: int = 4, interleave: str = "bip",
        dtype: str = "f8", folder: Path | None = None, mask: bool = True, seed: int = 1,
        place: Georeference | None = PLACE,
    ) -> Path:  # fmt: skip
        ch4, marked = plume_scene(lines, samples, seed)
        cube = np.full((bands, lines, samples), 12.5, dtype)
        cube[:, np.isnan(ch4)] = np.nan
        cube[-1] = ch4
        path = (folder or tmp_path) / f"{stem}.img"
        write_envi(path, cube, like=place, band_names=BANDS[-bands:], interleave=interleave)
        if mask:
            write_envi(path.with_name(f"{stem}_mask.img"), marked, like=place)
        return path

    return make
