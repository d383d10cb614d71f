"""Validated parameters of the superdarn pipeline: the `superdarn` section of params.yaml.

Units stand in the names. A value outside its bounds stops the stage with the key's full path and the allowed
range.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from earthsignals.params import NonNegative, Section, Share
from earthsignals.training import TrainingOptions

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=1, le=4096)]
Triple = tuple[Count, Count, Count]


class S3Params(Section):
    """Where records lie when `source` is `s3`. Keys are never written here: they come from the environment
    (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from a profile of ~/.aws."""

    endpoint_url: str | None = None
    """Of MinIO and its kin; empty: Amazon."""
    bucket: str = "superdarn"
    prefix: str = ""
    profile: str | None = None


class SimulationParams(Section):
    """Synthetic days of two-cell convection seen by real radar geometries."""

    days: int = Field(12, ge=3, le=10_000)
    first_day: dt.date = dt.date(2015, 3, 1)
    radars: int = Field(22, ge=1, le=64)
    """Northern radars that take part, those of the shared table in its order."""
    noise_m_s: NonNegative = 34.0
    """Typical standard deviation of a velocity's own error, before the radar's median over a cell."""
    turbulence_m_s: NonNegative = 105.0
    """Drift on scales of some hundred kilometres and some minutes, on top of the convection."""
    drop_out: Share = 0.03
    """Share of radar-hours without any record."""
    seed: Seed = 70


class GriddingParams(Section):
    """fitacf records → vectors: the median over the gates and beams that fall into a cell."""

    minimum_range_km: NonNegative = 500.0
    maximum_range_km: NonNegative = 3000.0
    minimum_power_db: float = Field(3.0, ge=0, le=100)
    maximum_velocity_m_s: float = Field(2500.0, gt=0, le=10_000)
    maximum_velocity_error_m_s: float = Field(200.0, gt=0, le=10_000)
    maximum_width_m_s: float = Field(1000.0, gt=0, le=10_000)
    ground_scatter: bool = False
    """Keep what the fit flags as ground scatter."""


class GridParams(Section):
    """Cells in magnetic latitude × magnetic local time, and frames in time."""

    hemisphere: Literal["north", "south"] = "north"
    representation: Literal["polar", "equal-area", "square", "flat"] = "polar"
    """polar: latitude × longitude, turned to local time with each sample; cyclic. equal-area: bands of the
    cells of grid files. square: size × size over the pole. flat: cells in the order of their index."""
    latitude_min: float = Field(50.0, ge=30, le=80)
    latitude_step: float = Field(1.0, gt=0, le=10)
    columns: int = Field(240, ge=8, le=1440)
    """Around the pole, of polar and equal-area."""
    size: int = Field(300, ge=8, le=2048)
    """Edge of square."""
    cadence_minutes: int = Field(2, ge=1, le=60)

    @model_validator(mode="after")
    def _divides_a_day(self) -> GridParams:
        if 1440 % self.cadence_minutes:
            raise ValueError(f"cadence_minutes ({self.cadence_minutes}) must divide a day of 1,440 minutes")
        return self


class SplitParams(Section):
    """Blocks of time, in their order: training, validation, test. Forecasts stay within one of them."""

    validation_fraction: float = Field(0.17, gt=0, lt=1)
    test_fraction: float = Field(0.25, gt=0, lt=1)
    block_hours: int = Field(24, ge=1, le=24 * 366)


class StateParams(Section):
    """What is known at the time of issue: fields of drift from weighted observations of the past."""

    history_minutes: int = Field(90, ge=2, le=1440)
    memories_minutes: tuple[NonNegative, ...] = Field((0.0, 10.0, 30.0, 90.0), min_length=1)
    """Times over which observations lose their weight (1/e); 0: the last frame alone."""
    widths_cells: tuple[NonNegative, ...] = Field((0.0, 1.0, 2.5, 6.0), min_length=1)
    """Standard deviations of the spatial weight, in cells; 0: each cell by itself."""
    ridge: float = Field(0.1, gt=0, le=1e3)
    """Weight of "no drift", in observations."""
    shrinkage: float = Field(0.01, ge=0, le=10)
    """Of the linear start's coefficients, relative to the variance of what they multiply."""
    stride: int = Field(8, ge=1, le=10_000)
    """Frames from one time of issue to the next, when the linear start is fitted."""


class NetworkParams(Section):
    """Pangu-style 3-D attention over levels (time lags) × latitude × local time."""

    levels: Count = 10
    """Frames of the past that go in; as many of the future come out of a step."""
    patch_size: Triple = (2, 4, 8)
    embed_dim: int = Field(32, ge=4, le=1024)
    num_heads: tuple[Count, Count, Count, Count] = (2, 4, 4, 2)
    depths: tuple[Count, Count, Count, Count] = (1, 2, 2, 1)
    window_size: Triple = (5, 5, 5)
    """In tokens: levels, latitude, local time."""
    mlp_ratio: float = Field(4.0, gt=0, le=16)
    drop_path: float = Field(0.1, ge=0, lt=1)
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _divides(self) -> NetworkParams:
        for width, heads in zip((1, 2, 2, 1), self.num_heads, strict=True):
            if self.embed_dim * width % heads:
                raise ValueError(
                    f"embed_dim ({self.embed_dim}, doubled in the inner layers) must be a multiple of every "
                    f"number of heads ({', '.join(map(str, self.num_heads))})"
                )
        return self


class TrainParams(TrainingOptions):
    """The recipe of the forecast."""

    epochs: int = Field(2, ge=1, le=100_000)
    batch_size: int = Field(8, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    weight_decay: float = Field(0.01, ge=0, le=1)
    gradient_clip: float = Field(0.25, ge=0, le=1e6)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    patience: int = Field(3, ge=0, le=100_000)
    time_step: int = Field(3, ge=1, le=1000)
    """Steps of the rollout, each of `network.levels` frames."""
    stride: int = Field(12, ge=1, le=10_000)
    """Frames from one time of issue to the next, in training."""
    noise_factor: float = Field(0.1, ge=0, le=10)
    """Noise added to the levels in training, over the observations' standard deviation."""
    logger: Literal["none", "wandb", "neptune"] = "none"
    """A further logger beside MLflow."""
    initial_checkpoint: str | None = None
    """A best_model.pt to go on from."""


class EvaluateParams(Section):
    """How forecasts are judged."""

    leads_minutes: tuple[Annotated[int, Field(ge=1, le=1440)], ...] = Field(
        (2, 10, 20, 30, 40, 50, 60), min_length=1
    )
    stride: int = Field(8, ge=1, le=10_000)
    """Frames from one time of issue to the next."""
    block_hours: float = Field(2.0, gt=0, le=240)
    """Length of the blocks of time that intervals are drawn over."""
    bootstrap: int = Field(400, ge=20, le=1_000_000)
    storm_quantile: float = Field(0.75, gt=0, lt=1)
    """Frames whose mean speed of the last hour lies above this quantile of the training and validation frames
    are storm."""
    seed: Seed = 71


class SuperdarnParams(Section):
    """The `superdarn` section of params.yaml."""

    source: str = "synthetic"
    """`synthetic`, `s3`, or the path of a folder of fitacf, rawacf, grid, map or grid netCDF files."""
    s3: S3Params = S3Params()
    simulation: SimulationParams = SimulationParams()
    gridding: GriddingParams = GriddingParams()
    grid: GridParams = GridParams()
    split: SplitParams = SplitParams()
    state: StateParams = StateParams()
    network: NetworkParams = NetworkParams()
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()

    @model_validator(mode="after")
    def _consistent(self) -> SuperdarnParams:
        if self.split.validation_fraction + self.split.test_fraction >= 1:
            raise ValueError("split.validation_fraction and split.test_fraction leave nothing to train on")
        cadence, longest = self.grid.cadence_minutes, max(self.evaluate.leads_minutes)
        reach = self.train.time_step * self.network.levels * cadence
        if longest > reach:
            raise ValueError(
                f"evaluate.leads_minutes asks for {longest} minutes, but train.time_step × network.levels × "
                f"grid.cadence_minutes reach {reach}: raise time_step"
            )
        for lead in self.evaluate.leads_minutes:
            if lead % cadence:
                raise ValueError(
                    f"evaluate.leads_minutes: {lead} is no multiple of grid.cadence_minutes ({cadence})"
                )
        if self.network.levels * cadence > self.state.history_minutes:
            raise ValueError(
                f"network.levels × grid.cadence_minutes ({self.network.levels * cadence}) must not exceed "
                f"state.history_minutes ({self.state.history_minutes})"
            )
        return self
