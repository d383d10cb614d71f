"""Validated parameters of the TDLAS pipeline: the `tdlas` section of params.yaml.

Units stand in the names. Every bound below is a physical or numerical limit; a value outside it stops
the stage with the key's full path and the allowed range.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earthsignals.params import NonNegative, Range, Section
from earthsignals.training import TrainingOptions

Positive = Annotated[float, Field(gt=0)]


class TemperatureRange(Range):
    """Gas temperature in kelvin, within the validity of the TIPS sums and of the n_air power law."""

    low: float = Field(253.0, ge=150.0, le=1000.0)
    high: float = Field(323.0, ge=150.0, le=1000.0)


class PressureRange(Range):
    """Gas pressure in atm."""

    low: float = Field(0.8, gt=0.0, le=10.0)
    high: float = Field(1.1, gt=0.0, le=10.0)


class MoleFractionRange(Range):
    """CH4 mole fraction in ppm."""

    low: float = Field(1.0, gt=0.0, le=1e6)
    high: float = Field(50_000.0, gt=0.0, le=1e6)


class LinesParams(Section):
    """Where spectral lines come from and which are kept."""

    source: str = Field("embedded", min_length=1)
    window_low: float = Field(4383.0, gt=0, le=50_000)
    window_high: float = Field(4386.0, gt=0, le=50_000)
    wing_margin: float = Field(5.0, ge=0, le=500)
    minimum_intensity: NonNegative = 0.0
    water_source: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> LinesParams:
        if not 0.05 <= self.window_high - self.window_low <= 50:
            raise ValueError(
                f"window_high - window_low is {self.window_high - self.window_low:g} cm-1; "
                "allowed: 0.05 .. 50"
            )
        return self


class GasParams(Section):
    """The gas cell: conditions drawn for simulated scans and how line wings end."""

    path_cm: float = Field(100.0, gt=0, le=1e7)
    temperature_k: TemperatureRange = TemperatureRange()
    pressure_atm: PressureRange = PressureRange()
    mole_fraction_ppm: MoleFractionRange = MoleFractionRange()
    water_mole_fraction: float = Field(0.0, ge=0, le=0.2)
    water_broadening_ratio: float = Field(1.3, gt=0, le=5)
    wing_policy: Literal["full", "cut", "cut-pedestal"] = "full"
    wing_cutoff: float = Field(25.0, gt=0, le=1000)


class LaserParams(Section):
    """Drive, sampling and power curve of the laser."""

    drive_frequency_hz: float = Field(10.0, gt=0, le=1e6)
    sampling_rate_hz: float = Field(250_000.0, gt=0, le=1e9)
    samples_per_scan: int = Field(1000, ge=32, le=100_000)
    power_slope: float = Field(0.35, gt=-1, lt=1)
    power_curvature: float = Field(-0.05, gt=-0.5, lt=0.5)

    @model_validator(mode="after")
    def _whole_blocks(self) -> LaserParams:
        raw = self.sampling_rate_hz / self.drive_frequency_hz
        if abs(raw - round(raw)) > 1e-9 * raw or round(raw) % self.samples_per_scan:
            raise ValueError(
                f"samples_per_scan ({self.samples_per_scan}) must divide the "
                f"{raw:g} raw samples of one drive period (sampling_rate_hz / drive_frequency_hz)"
            )
        if self.samples_per_scan % 2:
            raise ValueError(f"samples_per_scan ({self.samples_per_scan}) must be even (down, up)")
        return self

    @property
    def raw_samples(self) -> int:
        """Raw detector samples in one drive period."""
        return round(self.sampling_rate_hz / self.drive_frequency_hz)

    @property
    def block(self) -> int:
        """Raw samples averaged into one stored sample."""
        return self.raw_samples // self.samples_per_scan


class EtalonParams(Section):
    """One interference fringe: rms of its log-transmission and its free spectral range in cm-1."""

    rms: float = Field(ge=0, le=0.2)
    free_spectral_range: float = Field(gt=0, le=100)


class InstrumentParams(Section):
    """Noise and imperfections. Signals are in units of mid-scan laser power; 0 turns a source off.

    `white`, `shot` and `rin` are standard deviations of one raw sample at unit signal; they scale
    as 1, sqrt(signal) and signal. `flicker` is the one-sided 1/f density at 1 Hz in 1/Hz**0.5.
    """

    white: float = Field(2.5e-3, ge=0, le=1)
    shot: float = Field(1.0e-3, ge=0, le=1)
    rin: float = Field(1.0e-3, ge=0, le=1)
    flicker: float = Field(8.0e-5, ge=0, le=1)
    jitter: float = Field(5.0e-4, ge=0, le=0.1)
    etalons: tuple[EtalonParams, ...] = (
        EtalonParams(rms=1.0e-3, free_spectral_range=0.47),
        EtalonParams(rms=5.0e-4, free_spectral_range=1.3),
    )
    etalon_drift_scans: float = Field(3000.0, gt=0)
    baseline: tuple[NonNegative, ...] = (0.03, 0.02, 0.01, 0.005)
    detector_bandwidth_hz: float = Field(100_000.0, ge=0)
    adc_bits: int = Field(16, ge=6, le=16)
    adc_full_scale: float = Field(2.0, gt=0, le=1e6)


class DatasetParams(Section):
    """How many scans, from where, and how they are split."""

    source: str = Field("simulated", min_length=1)
    scans: int = Field(60_000, ge=100, le=100_000_000)
    seed: int = Field(20_220, ge=0, le=2**63 - 1)
    validation_fraction: float = Field(0.08, gt=0, lt=0.5)
    test_fraction: float = Field(0.08, gt=0, lt=0.5)
    mole_fraction_sampling: Literal["log-uniform", "uniform", "bound"] = "log-uniform"
    chunk_scans: int = Field(2048, ge=128, le=65_536, multiple_of=128)


class TrainParams(TrainingOptions):
    """The default network and how it is trained."""

    initial_checkpoint: str | None = None
    filters: Literal["auto", "physics", "data"] = "auto"
    filter_count: int = Field(24, ge=2, le=256)
    polish_steps: int = Field(3, ge=0, le=8)
    polish_degree: int = Field(6, ge=0, le=12)
    polish_spread: float = Field(10.0, gt=0, le=1000)
    channels: int = Field(8, ge=1, le=256)
    hidden: int = Field(64, ge=1, le=4096)
    dropout: float = Field(0.0, ge=0, lt=1)


class CourseParams(TrainingOptions):
    """The course's CNN, trained by the course's recipe for comparison."""

    input: Literal["trace", "clean-absorbance"] = "trace"
    target: Literal["ppm", "stabilised"] = "ppm"
    scans: int = Field(12_000, ge=64)
    dropout: float = Field(0.2, ge=0, lt=1)


class BaselineParams(Section):
    """The linear baselines: scans they are fitted on and the grid their settings are chosen from."""

    scans: int = Field(60_000, ge=64)
    ridge_alphas: tuple[Positive, ...] = Field((0.01, 0.1, 1.0, 10.0, 100.0), min_length=1)
    pls_components: tuple[Annotated[int, Field(ge=1, le=200)], ...] = Field((8, 16, 24), min_length=1)
    pls_scans: int = Field(12_000, ge=64)


class EvaluateParams(Section):
    """What is evaluated on how many scans."""

    least_squares_scans: int = Field(600, ge=30)
    stress_scans: int = Field(1024, ge=128)
    allan_scans: int = Field(4096, ge=64)
    allan_ppm: float = Field(10.0, ge=0)
    seed: int = Field(7, ge=0)


class TdlasParams(Section):
    """The whole `tdlas` section of params.yaml."""

    lines: LinesParams = LinesParams()
    gas: GasParams = GasParams()
    laser: LaserParams = LaserParams()
    instrument: InstrumentParams = InstrumentParams()
    dataset: DatasetParams = DatasetParams()
    train: TrainParams
    course: CourseParams
    baselines: BaselineParams = BaselineParams()
    evaluate: EvaluateParams = EvaluateParams()
