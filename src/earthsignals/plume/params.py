"""Validated parameters of the plume pipeline: the `plume` section of params.yaml.

Units stand in the names. Every bound below is a physical or numerical limit; a value outside it stops
the stage with the key's full path and the allowed range.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from earthsignals.params import NonNegative, Range, Section, Share
from earthsignals.training import TrainingOptions

Window = Literal[64, 256]
Architecture = Literal["plumenet", "googlenet", "googlenet-valid", "unet"]
Peer = Literal[
    "plumenet-64", "plumenet-256", "googlenet-256", "googlenet-valid-256", "unet-64", "unet-256"
]


class RateRange(Range):
    """Emission rate of a source in kg/h; drawn log-uniformly."""

    low: float = Field(80.0, gt=0, le=1e6)
    high: float = Field(1500.0, gt=0, le=1e6)


class WindRange(Range):
    """Wind speed that carries the plume in m/s; drawn uniformly, one per flightline."""

    low: float = Field(1.5, gt=0, le=40)
    high: float = Field(7.0, gt=0, le=40)


class NoiseRange(Range):
    """Standard deviation of the matched filter over mid-grey ground in ppm·m; one per day."""

    low: float = Field(200.0, gt=0, le=5000)
    high: float = Field(340.0, gt=0, le=5000)


class PixelRange(Range):
    """Ground size of a pixel in metres; drawn uniformly, one per day."""

    low: float = Field(3.0, gt=0, le=100)
    high: float = Field(7.5, gt=0, le=100)


class ScenesParams(Section):
    """How many synthetic flightlines, of which shape."""

    days: int = Field(12, ge=3, le=10_000)
    flightlines_per_day: int = Field(3, ge=1, le=1000)
    lines: int = Field(1200, ge=16, le=100_000)
    samples: int = Field(480, ge=16, le=20_000)
    pixel_m: PixelRange = PixelRange()
    bands: Literal[1, 4] = 4
    """4: red, green, blue radiance and CH4, as AVIRIS-NG products have them; 1: CH4 alone."""
    seed: int = Field(30, ge=0, le=2**31 - 1)


class BackgroundParams(Section):
    """The matched filter where there is no plume."""

    noise_ppm_m: NoiseRange = NoiseRange()
    texture_share: Share = 0.25
    """Share of the noise's variance that is correlated over surfaces rather than from pixel to pixel."""
    stripe_ppm_m: NonNegative = 15.0
    """Standard deviation of the constant offset of each detector column."""
    sparse_share: Share = 0.5
    """Share of days whose retrieval is sparse and non-negative (mag1c) instead of linear (ch4mf)."""


class SurfaceParams(Section):
    """Mean numbers per flightline of things that a matched filter mistakes for methane."""

    roofs: NonNegative = 14.0
    roads: NonNegative = 3.0
    ponds: NonNegative = 3.0
    solar_farms: NonNegative = 2.5
    high_soils: NonNegative = 0.3
    """Soft regions of several hundred metres whose ground raises the filter."""
    strength_ppm_m: NonNegative = 1300.0
    """Typical false enhancement over a roof; the others follow from it."""


class EmissionParams(Section):
    """Plumes and how they disperse."""

    model: Literal["puff", "gaussian"] = "puff"
    plumes_per_flightline: NonNegative = 5.0
    empty_share: Share = 0.15
    """Share of flightlines without any plume."""
    rate_kg_h: RateRange = RateRange()
    wind_m_s: WindRange = WindRange()
    turbulence: float = Field(0.22, gt=0, le=2)
    """Rms velocity fluctuation over wind speed of the random walk."""
    mask_ppm_m: float = Field(400.0, gt=0, le=10_000)
    """True enhancement from which a pixel belongs to a plume's mask."""


class TilesParams(Section):
    """Tiles cut from flightlines for training and for tile-level scores."""

    window: Window = 64
    minimum_plume_pixels: int = Field(30, ge=1, le=4096)
    """Mask pixels from which a tile counts as holding a plume; those with fewer but some are left out."""
    positives_per_plume: int = Field(10, ge=1, le=1000)
    negatives_per_flightline: int = Field(40, ge=0, le=100_000)
    """Tiles around false enhancements (class `neg`)."""
    backgrounds_per_flightline: int = Field(80, ge=0, le=100_000)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the days, not of the tiles: a day is never in two splits."""
    test_fraction: float = Field(0.25, gt=0, lt=1)
    seed: int = Field(31, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _room_to_train(self) -> TilesParams:
        if self.validation_fraction + self.test_fraction > 0.9:
            raise ValueError("validation_fraction + test_fraction must leave at least 0.1 to train on")
        return self


class PreprocessingParams(Section):
    """What every model sees; carried in its checkpoint."""

    name: Literal["multicampaign", "COVID_QC", "CalCH4_v8", "Permian_QC", "own"] = "multicampaign"
    """A published pair of mean and deviation; `own` takes the two below."""
    clamp_low: float = 0.0
    clamp_high: float = 4000.0
    mean: float | None = None
    std: float | None = Field(None, gt=0)
    """ppm·m; given for `own`, and for it alone."""
    band: str | int | None = None
    """CH4 band by name or number from 1; null: the band named so, else the last."""

    @model_validator(mode="after")
    def _ordered(self) -> PreprocessingParams:
        if not self.clamp_low < self.clamp_high:
            raise ValueError(f"clamp_low ({self.clamp_low}) must be less than clamp_high ({self.clamp_high})")
        given = {self.mean is not None, self.std is not None}
        if given != {self.name == "own"}:
            raise ValueError("mean and std are given under the name own, both, and under no other name")
        return self


class PlumeTrainParams(TrainingOptions):
    """Architecture, augmentation and optimisation of the classifier."""

    architecture: Architecture = "plumenet"
    class_weights: bool = True
    """Weigh plume and no plume alike in the loss, whatever their numbers."""
    flips: bool = True
    rotations: bool = True
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    initial_checkpoint: str | None = None


class PeersParams(Section):
    """Further architectures that are trained and judged beside the default one."""

    models: list[Peer] = []
    """`<architecture>-<window>`; empty: none."""
    epochs: int = Field(20, ge=1, le=100_000)
    batch_size: int = Field(32, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-3, gt=0, le=10)


class DetectionParams(Section):
    """From a saliency map to plumes."""

    low_share: float = Field(0.9, gt=0, le=1)
    """Hysteresis: the lower threshold as a share of the upper one, which validation chose."""
    minimum_area_m2: float = Field(400.0, ge=0)
    smoothing_m: float = Field(8.0, ge=0)
    """Standard deviation of the Gaussian that smooths the enhancement before it is cut."""
    cut_sigma: float = Field(2.5, gt=0, le=20)
    """Enhancement over local background, in its deviations after smoothing, from which a pixel is plume."""
    peak_sigma: float = Field(6.0, gt=0, le=100)
    """The same deviations, which at least one pixel of a plume reaches; pieces without are noise."""
    bridge_m: NonNegative = 45.0
    """Pieces with gaps up to this belong to one plume."""
    flank_m: NonNegative = 5.0
    """How far around the mask the mass is still counted: the flanks are there though too weak to see."""
    ring_m: float = Field(60.0, gt=0, le=10_000)
    """Width of the ring around the flanks that gives the local background."""
    maximum_fetch_m: float = Field(284.0, gt=0, le=10_000)
    temperature_k: float = Field(293.15, gt=150, lt=350)
    pressure_hpa: float = Field(1013.25, gt=100, lt=1200)
    """Of the air that holds the plumes: a ppm·m at 845 hPa (1,500 m) weighs 17 % less."""
    wind_error: float = Field(0.25, ge=0, le=2)
    """Relative standard error of the wind speed where none is given with it."""


class PlumeEvaluateParams(Section):
    """How results are judged."""

    bootstrap: int = Field(400, ge=20, le=100_000)
    seed: int = Field(32, ge=0, le=2**31 - 1)


class PlumeParams(Section):
    """All of the pipeline."""

    source: str = Field("synthetic", min_length=1)
    """`synthetic`, a folder of real flightlines with masks, or of tiles with a manifest."""
    scenes: ScenesParams
    background: BackgroundParams
    surface: SurfaceParams
    emission: EmissionParams
    tiles: TilesParams
    preprocessing: PreprocessingParams
    train: PlumeTrainParams
    peers: PeersParams
    detection: DetectionParams
    evaluate: PlumeEvaluateParams
