"""From the files of the stages to what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.results import read_arrays
from earthsignals.storage import EarthSignalsError, read_json
from earthsignals.superdarn.figures.inputs import Example, Inputs, Seen, Weights, on_sphere

if TYPE_CHECKING:
    from earthsignals.superdarn.checkpoint import ForecastModel


def read_inputs(data: Path, reports: Path) -> Inputs:
    """What the stages left below `data/superdarn` and `reports/superdarn`.

    Raises EarthSignalsError where a file is missing or an example is not whole.
    """
    from earthsignals.superdarn.checkpoint import load_model
    from earthsignals.superdarn.stations import STATIONS

    arrays = read_arrays(data / "evaluation.h5")
    return Inputs(
        arrays, read_examples(arrays, data / "evaluation.h5"), read_json(reports / "metrics.json"),
        read_json(reports / "training.json"), read_weights(load_model(data / "best_model.pt")),
        {station.stid: station.code for station in STATIONS},
    )  # fmt: skip


def read_weights(model: ForecastModel) -> Weights:
    """Coefficients of a model's linear start; those of fields turned back by the Earth's rotation are added
    to those of the same fields where they lie."""
    start = model.forecaster.start
    damping, fixed, turned, carry = (
        weights.double().cpu().numpy() for weights in (start.damping, start.fixed, start.turned, start.carry)
    )
    memories, widths = model.state.memories_minutes, model.state.widths_cells
    pairs, turning = len(memories) * len(widths), np.array(start.turning, int)
    spread = fixed[..., 1 : 1 + pairs].copy()
    spread[..., turning - 1] += turned[..., : len(turning)]
    across = np.full_like(spread, np.nan)
    across[..., turning - 1] = fixed[..., 1 + pairs :]
    shape = (*damping.shape, len(memories), len(widths))
    return Weights(
        np.asarray(model.leads_minutes), damping + fixed[..., 0], spread.reshape(shape),
        across.reshape(shape), carry, turned[..., len(turning) :].sum(-1), memories, widths,
    )  # fmt: skip


def read_examples(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[Example, ...]:
    """The forecasts `example/<k>/…` of an evaluation, by k."""
    numbers = {int(name.split("/")[1]) for name in arrays if name.startswith("example/")}
    return tuple(_example(arrays, f"example/{number}", path) for number in sorted(numbers))


def _example(arrays: Mapping[str, np.ndarray], group: str, path: Path) -> Example:
    def get(name: str) -> np.ndarray:
        if f"{group}/{name}" not in arrays:
            raise EarthSignalsError(
                f"{path}: `{group}` lacks `{name}`, which a forecast needs to be drawn; run "
                "`dvc repro superdarn-evaluate`"
            )
        return arrays[f"{group}/{name}"]

    forecast = np.asarray(get("forecast"), float)
    rows, columns = forecast.shape[-2:]
    mlat, mlon, regular = cells(get("mlat"), get("mlon"), rows, columns)
    leads = np.asarray(get("leads_all")).astype(int)
    frame = np.asarray(get("observed/lead")).astype(int)
    names = ("mlat", "mlon", "kvect", "velocity")
    seen = {name: np.asarray(get(f"observed/{name}"), float) for name in names}
    truth = arrays.get(f"{group}/truth", ())
    return Example(
        int(get("time_s")), float(get("mlt_zero")), leads, forecast, mlat, mlon, regular,
        {
            lead: Seen(**{name: values[frame == lead] for name, values in seen.items()})
            for lead in (0, *leads.tolist())
        },
        {
            lead: over_cells(mlat, mlon, np.asarray(drift, float))
            for lead, drift in zip(leads.tolist(), truth, strict=False)
            if np.isfinite(drift).any()
        },
    )  # fmt: skip


def over_cells(mlat: np.ndarray, mlon: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (…, R, C) of cells of grid files, shown wherever such a cell reaches.

    mlat, mlon: (R, C) of the raster. A raster finer than these cells holds their centres in few of its own:
    each raster cell gets the value of the one that holds the centre of the cell it lies in.
    """
    from scipy.spatial import cKDTree

    from earthsignals.superdarn.cells import cell_centre, cell_index

    known = np.flatnonzero(np.isfinite(mlat).ravel())
    places = on_sphere(mlat.ravel()[known], mlon.ravel()[known])
    latitude, longitude = cell_centre(cell_index(mlat.ravel()[known], mlon.ravel()[known]))
    # A centre on the border of two raster cells is in the one poleward and east of it.
    centres = on_sphere(latitude + 1e-4 * np.sign(latitude), longitude + 1e-4)
    flat = np.full((*values.shape[:-2], mlat.size), np.nan)
    holding = known[cKDTree(places).query(centres)[1]]
    flat[..., known] = values.reshape(flat.shape)[..., holding]
    return flat.reshape(values.shape)


def cells(
    mlat: np.ndarray, mlon: np.ndarray, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Centres (R, C) of cells given as rows (R,) and columns (C,) or as (R, C), and whether they are regular:
    a latitude for each row, and columns that go once around the pole."""
    mlat, mlon = np.asarray(mlat, float), np.asarray(mlon, float)
    mlat = np.broadcast_to(mlat[:, None] if mlat.ndim == 1 and mlon.ndim == 1 else mlat, (rows, columns))
    mlon = np.broadcast_to(mlon, (rows, columns))
    regular = (
        rows > 1
        and columns > 1
        and bool(np.isfinite(mlat).all())
        and bool(np.ptp(mlat, 1).max() < 1e-6)
        and bool(np.ptp(mlon, 0).max() < 1e-6)
        and bool(np.abs(np.mod(np.diff(mlon, axis=1), 360) - 360 / columns).max() < 1e-3)
    )
    return mlat, mlon, regular
