"""One flightline with its plumes, masses and rates in hand, and their rows for any table.

    scene = measure_flightline("ang20200924t211102_ch4mf_v2y1_img", "ang20200924t211102_saliency.img",
                               threshold, params, winds=[Wind(3.2, 0.3)])

What publishing needs is gathered here once; the writers only give it a form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from earthsignals.plume.detection.bearings import bearing_of, direction_of, longitude_latitude
from earthsignals.plume.detection.detect import Detections, Plume, find_plumes
from earthsignals.plume.detection.emission import Mass, Wind, estimate_rates, integrate
from earthsignals.plume.detection.rate_error import UNCALIBRATED, Calibration, Rate
from earthsignals.plume.imagery.flightline import Flightline, open_flightline
from earthsignals.plume.params import DetectionParams
from earthsignals.storage import EarthSignalsError

# Column → kind of every published row; an empty file has the same columns.
COLUMNS: dict[str, str] = {
    "id": "str", "flightline": "str", "score": "float", "mean_score": "float", "area_m2": "float",
    "pixels": "int", "peak_ppm_m": "float", "peak_smoothed_ppm_m": "float", "length_m": "float",
    "orientation_deg": "float", "bearing_deg": "float", "source_row": "float", "source_col": "float",
    "source_lon": "float", "source_lat": "float", "ime_kg": "float", "ime_error_kg": "float",
    "kg_per_m": "float", "kg_per_m_error": "float", "fetch_m": "float", "flags": "str",
    "threshold": "float", "model_md5": "str",
}  # fmt: skip
RATE_COLUMNS: dict[str, str] = {
    "wind": "str", "wind_m_s": "float", "wind_error": "float", "rate_kg_h": "float",
    "rate_error_kg_h": "float", "rate_low_68": "float", "rate_high_68": "float", "rate_low_95": "float",
    "rate_high_95": "float", "rate_reason": "str",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class PlumeScene:
    """Everything known of one flightline's plumes; what the writers below take.

    ch4 (lines, samples) in ppm·m and saliency of the same shape, NaN where invalid. rgb: (3, lines,
    samples) of any unit, or None. masses and rates go with `detections` one by one, rates with one entry
    per wind.
    """

    stem: str
    ch4: NDArray[np.float32]
    saliency: NDArray[np.float32]
    detections: Detections
    masses: tuple[Mass, ...]
    rates: tuple[tuple[Rate, ...], ...]
    winds: tuple[Wind, ...]
    threshold: float
    pixel_m: float
    transform: Affine = field(default_factory=Affine.identity)
    crs: CRS | None = None
    rgb: NDArray[np.float32] | None = None
    smoothing_m: float = 0.0
    model_md5: str = ""


def measure_scene(
    stem: str,
    ch4: NDArray[np.float32],
    saliency: NDArray[np.float32],
    threshold: float,
    params: DetectionParams,
    pixel_m: float,
    *,
    winds: Sequence[Wind] = (),
    wind_direction_deg: float | None = None,
    calibration: Calibration = UNCALIBRATED,
    transform: Affine | None = None,
    crs: CRS | None = None,
    rgb: NDArray[np.float32] | None = None,
    model_md5: str = "",
) -> PlumeScene:
    """Find the plumes of a scene, weigh them, and estimate one rate per plume and wind.

    Args:
        stem: the flightline's name.
        winds: none: rates are missing, with the reason. Names must differ.
        wind_direction_deg: where it blows to, clockwise from the image's up.
        transform: pixel corner (column, row) → map.
        Others as `find_plumes` and `estimate_rates` take them.
    """
    winds = tuple(winds) or (Wind(None),)
    if len({wind.name.lower() for wind in winds}) < len(winds):
        raise EarthSignalsError(f"{stem}: two winds have the same name; name them apart")
    found = find_plumes(ch4, saliency, threshold, params, pixel_m, wind_direction_deg=wind_direction_deg)
    masses = tuple(
        integrate(ch4, plume, pixel_m, params, plumes=found, salient=found.salient) for plume in found
    )
    return PlumeScene(
        stem=stem, ch4=ch4, saliency=saliency, detections=found, masses=masses,
        rates=tuple(tuple(estimate_rates(mass, winds, params, calibration)) for mass in masses), winds=winds,
        threshold=threshold, pixel_m=pixel_m, transform=transform or Affine.identity(), crs=crs, rgb=rgb,
        smoothing_m=params.smoothing_m, model_md5=model_md5,
    )  # fmt: skip


def measure_flightline(
    flightline: str | Path,
    saliency: str | Path,
    threshold: float,
    params: DetectionParams,
    *,
    winds: Sequence[Wind] = (),
    wind_bearing_deg: float | None = None,
    calibration: Calibration = UNCALIBRATED,
    band: str | int | None = None,
    model_md5: str = "",
) -> PlumeScene:
    """Read a flightline and its saliency map, and measure its plumes (`measure_scene`).

    Args:
        wind_bearing_deg: where the wind blows to, clockwise from true north (a meteorologist's
            "from" direction plus 180); in a flightline without a map, clockwise from the image's up.
        band: the CH4 band by name or number.
    """
    with open_flightline(flightline, band=band) as image, open_flightline(saliency) as map_:
        if image.shape != map_.shape:
            raise EarthSignalsError(
                f"{saliency}: the map has {map_.shape[0]} lines and {map_.shape[1]} samples, but "
                f"{flightline} has {image.shape[0]} and {image.shape[1]}; give the map of this flightline"
            )
        apart = not image.transform.almost_equals(map_.transform, 1e-3) or image.crs != map_.crs
        if image.crs is not None and map_.crs is not None and apart:
            raise EarthSignalsError(
                f"{saliency}: the map lies elsewhere on the ground than {flightline} (their map references "
                "differ); give the map of this flightline"
            )
        direction = wind_bearing_deg
        if direction is not None and image.crs is not None:
            middle = (image.shape[0] / 2, image.shape[1] / 2)
            direction = direction_of(image.transform, image.crs, *middle, direction)
        return measure_scene(
            image.stem, image.read(), map_.read(), threshold, params, image.pixel_m, winds=winds,
            wind_direction_deg=direction, calibration=calibration, transform=image.transform, crs=image.crs,
            rgb=_read_rgb(image), model_md5=model_md5,
        )  # fmt: skip


def _read_rgb(image: Flightline) -> NDArray[np.float32] | None:
    """The bands whose names begin with red, green and blue, where there are all three."""
    numbers = []
    for colour in ("red", "green", "blue"):
        found = [n for n, name in enumerate(image.band_names, 1) if re.match(colour, name.strip().lower())]
        numbers += found[:1]
    return np.stack([image.read(band=number) for number in numbers]) if len(numbers) == 3 else None


def rows_of(scene: PlumeScene) -> list[dict[str, Any]]:
    """One row per plume with the columns of `columns_of`; None where a number is not known."""
    return [
        _row(scene, plume, mass, rates)
        for plume, mass, rates in zip(scene.detections, scene.masses, scene.rates, strict=True)
    ]


def columns_of(winds: Sequence[Wind]) -> dict[str, str]:
    """Names and kinds of the columns: the rate's once for the first wind, then once per further name."""
    columns = dict(COLUMNS)
    for number, wind in enumerate(winds):
        columns |= {_suffixed(name, number, wind.name): kind for name, kind in RATE_COLUMNS.items()}
    return columns


def _row(scene: PlumeScene, plume: Plume, mass: Mass, rates: Sequence[Rate]) -> dict[str, Any]:
    at = (plume.source_row, plume.source_col)
    bearing = longitude = latitude = None
    if scene.crs is not None:
        bearing = bearing_of(scene.transform, scene.crs, *at, plume.orientation_deg)
        longitude, latitude = longitude_latitude(scene.transform, scene.crs, *at)
    row = {
        "id": f"{scene.stem}-{plume.id}", "flightline": scene.stem, "score": plume.score,
        "mean_score": plume.mean_score, "area_m2": plume.area_m2, "pixels": plume.pixels,
        "peak_ppm_m": plume.peak_ppm_m, "peak_smoothed_ppm_m": plume.peak_smoothed_ppm_m,
        "length_m": plume.length_m, "orientation_deg": plume.orientation_deg, "bearing_deg": bearing,
        "source_row": plume.source_row, "source_col": plume.source_col, "source_lon": longitude,
        "source_lat": latitude, "ime_kg": mass.ime_kg, "ime_error_kg": mass.ime_error_kg,
        "kg_per_m": mass.kg_per_m, "kg_per_m_error": mass.kg_per_m_error,
        "fetch_m": mass.fetch_m, "flags": " ".join(mass.flags), "threshold": scene.threshold,
        "model_md5": scene.model_md5,
    }  # fmt: skip
    for number, rate in enumerate(rates):
        facts = {
            "wind": rate.wind_name, "wind_m_s": rate.wind_m_s, "wind_error": rate.wind_error,
            "rate_kg_h": rate.rate_kg_h, "rate_error_kg_h": rate.standard_error, "rate_low_68": rate.low_68,
            "rate_high_68": rate.high_68, "rate_low_95": rate.low_95, "rate_high_95": rate.high_95,
            "rate_reason": rate.reason,
        }  # fmt: skip
        row |= {_suffixed(name, number, rate.wind_name): value for name, value in facts.items()}
    return {name: _tidy(name, value) for name, value in row.items()}


def _suffixed(name: str, number: int, wind: str) -> str:
    return name if number == 0 else f"{name}_{wind}"


def _tidy(name: str, value: Any) -> Any:
    """Numbers as finely as anything here is measured, and as the same text on every machine.

    A centimetre for longitude and latitude, seven significant digits for the rest.
    """
    if not isinstance(value, float | np.floating):
        return value
    return round(float(value), 7) if name in ("source_lon", "source_lat") else float(f"{value:.7g}")
