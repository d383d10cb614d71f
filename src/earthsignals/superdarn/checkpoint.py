"""What a superdarn model's file carries, and every way in which it may not be one.

A model is its weights with the grid it forecasts on and the fields it knows the past by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from earthsignals.params import validate
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.superdarn.model import Forecaster
from earthsignals.superdarn.own_views import seen_again
from earthsignals.superdarn.params import GridParams, NetworkParams, StateParams
from earthsignals.superdarn.samples import clock
from earthsignals.superdarn.state import sums
from earthsignals.training import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile

KIND = "superdarn"


@dataclass(frozen=True)
class ForecastModel:
    """A forecaster in evaluation mode, without gradients, and what it was built from."""

    forecaster: Forecaster
    grid: GridParams
    state: StateParams
    network: NetworkParams
    steps: int
    name: str = "model"
    path: Path | None = None
    md5: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    """All parameters of the training, for the record."""

    @property
    def leads_minutes(self) -> list[int]:
        """Every lead of a forecast, in minutes from the time of issue (the last frame's own)."""
        return [self.grid.cadence_minutes * (n + 1) for n in range(self.forecaster.leads)]

    def to(self, device: str | torch.device) -> ForecastModel:
        """This model, moved to a device."""
        self.forecaster.to(device)
        return self

    @torch.inference_mode()
    def forecast(self, grid: GridFile, issue: int, *, network: bool = True) -> np.ndarray:
        """Drift (leads, 2, R, C) float32 in m/s, north and east, issued at the frame `issue` of a grid.

        The last axis follows magnetic longitude, as the grid's columns do. network: False gives the linear
        start alone.

        Raises EarthSignalsError for a grid of other cells or another cadence than the model's.
        """
        self.check_grid(grid.params)
        device = self.forecaster.scale.device
        past = sums(grid, issue + 1 - self.forecaster.analysis.history, issue)
        history = torch.from_numpy(past)[None].to(device)
        hours, roll = (value.to(device) for value in clock(grid, np.array([issue])))
        answer, _ = self.forecaster(history, hours, roll, network=network)
        return answer[0].float().cpu().numpy()

    def carried(self, grid: GridFile, issue: int) -> np.ndarray:
        """What radars will see beyond `forecast` along the vectors of the frames after `issue`.

        Returns (K,) float32 in m/s for the vectors `grid.span(issue + 1, issue + leads)`, as far as the grid
        goes: shares of a radar's own last view of the cell, 0 where it had none.
        """
        leads = min(self.forecaster.leads, len(grid) - 1 - issue)
        if leads < 1:
            return np.zeros(0, np.float32)
        again = seen_again(grid, issue, leads)
        lead = grid.frame[grid.span(issue + 1, issue + leads)] - issue - 1
        return (self.forecaster.start.carry.cpu().numpy()[lead] * again.T).sum(1)

    def check_grid(self, grid: GridParams) -> None:
        """Raise EarthSignalsError unless the model was made for cells and frames like these."""
        own, other = (g.model_dump(exclude={"hemisphere"}) for g in (self.grid, grid))
        if own == other:
            return
        differing = ", ".join(f"{k} {other[k]} instead of {own[k]}" for k in own if own[k] != other[k])
        raise EarthSignalsError(
            f"{self.path or self.name} forecasts on another grid than these data lie on ({differing}): set "
            "superdarn.grid to the model's, or train one for this grid with `dvc repro superdarn-train`"
        )


def save_model(
    path: str | Path, forecaster: Forecaster, grid: GridParams, state: StateParams, network: NetworkParams,
    *, params: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a forecaster and what it was built from. Atomic, with repeatable bytes.

    params: plain values, for the record (`SuperdarnParams.model_dump(mode="json")`).
    """
    payload = {
        "grid": grid.model_dump(mode="json"), "state": state.model_dump(mode="json"),
        "network": network.model_dump(mode="json"), "steps": forecaster.steps, "params": dict(params or {}),
    }  # fmt: skip
    save_checkpoint(Path(path), KIND, forecaster.state_dict(), payload)


def load_model(path: str | Path) -> ForecastModel:
    """Read a model without ever unpickling.

    Raises EarthSignalsError: the file is missing, truncated, damaged, a pickle, another pipeline's, or holds
    weights that do not fit what it says of them or are not finite.
    """
    path = Path(path)
    content = load_checkpoint(path, KIND)
    try:
        grid, state, network = (
            validate(section, content[key], source=str(path), prefix=key)
            for key, section in (("grid", GridParams), ("state", StateParams), ("network", NetworkParams))
        )
        steps, params = int(content["steps"]), dict(content["params"])
        forecaster = Forecaster(grid, state, network, steps)
        forecaster.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError, EarthSignalsError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0][:160]
        raise EarthSignalsError(
            f"{path} does not hold a superdarn model as this version builds it ({reason}): train again with "
            "`dvc repro superdarn-train`, or pass a model of this version"
        ) from None
    for name, value in forecaster.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise EarthSignalsError(
                f"{path}: the weights {name} are not all finite: fetch it again with `dvc pull`, or train "
                "again with a lower learning_rate"
            )
    forecaster.eval().requires_grad_(False)
    return ForecastModel(
        forecaster, grid, state, network, steps, path.stem, path, md5_file(path), params
    )
