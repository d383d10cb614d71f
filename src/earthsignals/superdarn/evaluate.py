"""Evaluation: the forecast beside what it has to beat, on blocks of time that nobody has seen.

Everything is judged where it was observed: a predicted drift is projected on the line of sight of each
vector that a radar saw at the lead time, what the model carries on from that radar's own last view is added,
and the sum is compared with the velocity in m/s; `field` is the drift without that. Baselines learn on
training and validation frames, and the threshold between quiet and storm comes from them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.compute.device import choose_device
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn import baselines
from earthsignals.superdarn.baselines import TRAIN, VALIDATION, Baselines
from earthsignals.superdarn.cells import cells_above
from earthsignals.superdarn.judging.pairing import Series
from earthsignals.superdarn.judging.pairs import MODEL, Forecaster, Table, collect, storm_threshold
from earthsignals.superdarn.judging.pictured import Examples, coverage, examples_of, once_each, radars
from earthsignals.superdarn.judging.report import by_lead, report
from earthsignals.superdarn.judging.truth import Truth
from earthsignals.superdarn.params import SuperdarnParams

if TYPE_CHECKING:
    from earthsignals.superdarn.checkpoint import ForecastModel
    from earthsignals.superdarn.grid import GridFile

START = "start"
"""The model with its network switched off: the linear start alone."""


@dataclass(frozen=True)
class Found:
    """metrics for JSON, arrays by name for figures, forecasts (frames ahead, 2, R, C) by frame of issue."""

    metrics: dict[str, Any]
    arrays: dict[str, np.ndarray]
    forecasts: dict[int, np.ndarray]


@dataclass(frozen=True)
class Judged:
    """A table of pairs and what it was made with."""

    table: Table
    baselines: Baselines
    examples: Examples
    truth: Truth | None
    storm_above: float

    def about(self) -> dict[str, Any]:
        """What was learnt for judging, for the metrics."""
        leads = self.baselines.leads_minutes
        known = np.isfinite(self.storm_above)
        found: dict[str, Any] = {
            "damping": by_lead(leads, self.baselines.damping),
            "anomaly_damping": by_lead(leads, self.baselines.anomaly_damping),
            "storm_above_m_s": self.storm_above if known else None,
        }
        if self.truth is not None:
            found["rmse_truth_m_s"] = {
                name: by_lead(leads, values) for name, values in self.truth.rmse().items()
            }
        return found


def evaluate(
    grid: GridFile, model: ForecastModel, params: SuperdarnParams, settings: Settings,
    truth: Path | None = None,
) -> Found:  # fmt: skip
    """Judge the model, its linear start and the baselines on the test blocks of the grid.

    truth: truth.h5 of synthetic records, to compare whole fields too.

    Raises EarthSignalsError where no test block is long enough for the longest lead, or the model was trained
    on another grid.
    """
    model.check_grid(grid.params)
    longest = max(params.evaluate.leads_minutes)
    # What was observed before the first test frame is known at the time of issue; targets are test alone.
    issues = grid.issues("test", 1, longest // grid.params.cadence_minutes, params.evaluate.stride)
    if not len(issues):
        raise EarthSignalsError(
            f"no test block holds {longest} minutes of forecast in one piece: set "
            "superdarn.split.block_hours larger, or take more days"
        )
    with on_device(model, settings):
        judged = judge(grid, issues, model, params, truth=truth)
    metrics, arrays = report(judged.table, params.evaluate, grid.params)
    metrics |= judged.about() | about(grid) | {"model_md5": model.md5}
    arrays |= coverage(grid) | radars(grid) | judged.examples.arrays()
    if judged.truth is not None:
        arrays |= {f"rmse_truth/{name}": values for name, values in judged.truth.rmse().items()}
    return Found(metrics, arrays, judged.examples.forecasts)


def judge(
    grid: GridFile, issues: np.ndarray, model: ForecastModel, params: SuperdarnParams, *,
    splits: Sequence[int] = (TRAIN, VALIDATION), truth: Path | None = None,
) -> Judged:  # fmt: skip
    """Forecast at these frames (I,) and compare. splits: what baselines and thresholds are learnt on."""
    series = Series.of(grid)
    fitted = baselines.fit(series, params.evaluate.leads_minutes, splits)
    fields = Truth.open(truth, grid, issues, fitted.frames) if truth is not None else None
    examples = Examples(grid, examples_of(grid, issues), MODEL, fields)
    above = storm_threshold(grid, params.evaluate.storm_quantile, splits)

    def watch(t: int, name: str, forecast: np.ndarray) -> None:
        examples.watch(t, name, forecast)
        if fields is not None:
            fields.watch(t, name, forecast)
            if name == MODEL:
                fields.watch_references(t, fitted.climatology)

    table = collect(
        grid, issues, fitted, series, forecasters(grid, model), block_hours=params.evaluate.block_hours,
        storm_above=above, carried=partial(model.carried, grid), watch=watch,
    )  # fmt: skip
    return Judged(table, fitted, examples, fields, above)


def forecasters(grid: GridFile, model: ForecastModel) -> dict[str, Forecaster]:
    """The model and its linear start, as functions of the time of issue."""
    return {MODEL: partial(model.forecast, grid), START: partial(model.forecast, grid, network=False)}


def about(grid: GridFile) -> dict[str, Any]:
    """What was in the grid: vectors, radars, coverage, and what was dropped before."""
    cells = len(cells_above(grid.params.latitude_min))
    frames = len(grid.times_s)
    # Cells of grid files, whatever the raster's.
    seen = once_each(grid.frame.astype(np.int64) * 2**32 + grid.index + 2**31)
    return {
        "coverage": len(seen) / (cells * frames) if frames else None,
        "frames": frames, "frames_without_vectors": int((np.diff(grid.offsets) == 0).sum()),
        "grid_vectors": len(grid.velocity), "radars": len(np.unique(grid.stid)), "dropped": grid.dropped,
    }  # fmt: skip


def scalars(metrics: dict[str, Any]) -> dict[str, float]:
    """Headline numbers by flat names for a log: `skill_vs_damped/10`, `rmse_m_s/model/10`."""
    found = {
        f"{key}/{lead}": value
        for key, of in metrics.items() if key.startswith("skill_vs_")
        for lead, value in of.items()
    }  # fmt: skip
    for method, of in metrics["rmse_m_s"].items():
        found |= {f"rmse_m_s/{method}/{lead}": value for lead, value in of.items()}
    return {key: float(value) for key, value in found.items() if value is not None}


@contextmanager
def on_device(model: ForecastModel, settings: Settings) -> Iterator[None]:
    """The model on the device that the settings name; back on the CPU afterwards."""
    try:
        model.to(choose_device(settings.device))
        yield
    finally:
        model.to("cpu")
