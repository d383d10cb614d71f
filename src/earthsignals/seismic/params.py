"""Validated parameters of the seismic pipeline: the `seismic` section of params.yaml.

Units stand in the names. Every bound below is a physical or numerical limit; a value outside it stops
the stage with the key's full path and the allowed range.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earthsignals.params import NonNegative, Range, Section, Share
from earthsignals.training import TrainingOptions

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Kind = Annotated[str, Field(pattern=r"^[A-Z][A-Z]$")]
"""Band and instrument code of SEED channels: HH broadband velocity, EH short-period velocity, HN strong
motion, BH broadband velocity at a lower rate; DP, EL and others are read as well."""


class MagnitudeRange(Range):
    """Moment magnitude; drawn from a truncated Gutenberg–Richter law."""

    low: float = Field(0.8, ge=-2, le=9)
    high: float = Field(5.5, ge=-2, le=9)


class DistanceRange(Range):
    """Epicentral distance in km; stations are drawn within it."""

    low: float = Field(3.0, ge=0, le=500)
    high: float = Field(150.0, gt=0, le=500)


class SyntheticParams(Section):
    """Local earthquakes as regional networks would record them."""

    networks: int = Field(30, ge=3, le=10_000)
    """Regions with stations and events of their own: nothing is shared between two of them."""
    stations_per_network: int = Field(6, ge=1, le=1000)
    records: int = Field(6000, ge=30, le=10_000_000)
    """Three-component records of earthquakes, over all networks."""
    noise_records: int = Field(1500, ge=0, le=10_000_000)
    """Records of the same length in which nothing but noise was recorded."""
    magnitude: MagnitudeRange = MagnitudeRange()
    distance_km: DistanceRange = DistanceRange()
    shares: dict[Kind, Annotated[float, Field(gt=0)]] = {"HH": 0.5, "HN": 0.28, "EH": 0.12, "BH": 0.1}
    """Shares of instrument kinds among records (scaled to sum to one)."""
    seed: Seed = 40

    @model_validator(mode="after")
    def _known(self) -> SyntheticParams:
        unknown = sorted(set(self.shares) - {"HH", "HN", "EH", "BH"})
        if unknown:
            raise ValueError(f"shares names {', '.join(unknown)}; the simulation knows HH, HN, EH and BH")
        return self


class ReadingParams(Section):
    """How real files become records; what does not fit is refused with a reason."""

    missing_component: Literal["refuse", "zero"] = "refuse"
    maximum_gap_s: NonNegative = 1.0
    """Gaps up to this are bridged linearly; a longer one refuses the record."""
    response: Literal["counts", "remove"] = "counts"
    """`remove` divides by the response of a StationXML beside the files (to m/s or m/s²)."""
    minimum_s: float = Field(20.0, gt=0, le=3600)
    """Shorter records are refused; others are padded to the window, and the padding is masked."""
    clipped_share: Share = 0.01
    """A record with a larger share of samples at its extreme value is refused as clipped."""


class FilterParams(Section):
    """Butterworth band-pass, forwards and backwards (zero phase)."""

    low_hz: float = Field(1.0, gt=0, le=500)
    high_hz: float = Field(45.0, gt=0, le=500)
    corners: int = Field(4, ge=1, le=16)

    @model_validator(mode="after")
    def _ordered(self) -> FilterParams:
        if not self.low_hz < self.high_hz:
            raise ValueError(f"low_hz ({self.low_hz}) must be less than high_hz ({self.high_hz})")
        return self


class WindowParams(Section):
    """The piece of a record that a network sees."""

    sampling_rate_hz: float = Field(100.0, gt=0, le=10_000)
    before_p_s: float = Field(10.0, ge=0, le=3600)
    after_p_s: float = Field(60.0, gt=0, le=3600)

    @property
    def samples(self) -> int:
        """Length of the window in samples."""
        return round((self.before_p_s + self.after_p_s) * self.sampling_rate_hz)

    @property
    def p_sample(self) -> int:
        """Where the P arrival lies in the window."""
        return round(self.before_p_s * self.sampling_rate_hz)


class StoreParams(Section):
    """The packed store."""

    bucket_records: int = Field(1024, ge=1, le=1_000_000)
    """Records per HDF5 dataset: the unit of work, of resuming and of a checksum's report."""
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    """Of the stations and events."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    seed: Seed = 41
    corrupt: Literal["refuse", "skip"] = "refuse"
    """What reading does about records whose bytes no longer match their checksum."""


class StftParams(Section):
    """Short-time Fourier transform, as `scipy.signal.stft` defines it (zero boundary, padded)."""

    window: Literal["hann", "hamming", "blackman", "boxcar"] = "hann"
    window_samples: int = Field(256, ge=8, le=65_536)
    overlap_samples: int = Field(192, ge=0, le=65_535)
    fft_samples: int = Field(256, ge=8, le=65_536)

    @model_validator(mode="after")
    def _fits(self) -> StftParams:
        if not self.overlap_samples < self.window_samples <= self.fft_samples:
            raise ValueError(
                f"overlap_samples ({self.overlap_samples}) < window_samples ({self.window_samples}) <= "
                f"fft_samples ({self.fft_samples}) must hold"
            )
        return self


class ScalingParams(Section):
    """From amplitudes to the numbers in [0, 1] that a network sees."""

    normalisation: Literal["joint", "component"] = "joint"
    """joint: decibels below the record's strongest cell, one reference for E, N and Z, which keeps their
    ratio. component: ln(1 + |Z|) with minimum and maximum per component (the seed's), which destroys it."""
    range_db: float = Field(80.0, gt=0, le=200)
    """Of `joint`: 0 stands for this far below the maximum and for all that is weaker."""


class BottleneckParams(TrainingOptions):
    """The autoencoder with an ordered latent: its first 32 numbers are a latent of 32, and so on."""

    epochs: int = Field(20, ge=1, le=100_000)
    batch_size: int = Field(128, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    weight_decay: float = Field(0.05, ge=0, le=1)
    sizes: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = Field((32, 128, 512), min_length=1)
    """Latent sizes that are trained and judged, ascending."""
    hidden: int = Field(512, ge=1, le=65_536)
    """Width of encoder and decoders."""
    dropout: float = Field(0.1, ge=0, lt=1)
    guises: int = Field(5, ge=1, le=1000)
    """Ways in which each record is seen: as it is, and with horizontals turned and time stretched."""
    initial_checkpoint: str | None = None

    @model_validator(mode="after")
    def _ascending(self) -> BottleneckParams:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must ascend without repeats, found {list(self.sizes)}")
        return self


class DenoiserParams(TrainingOptions):
    """The network that predicts a mask over the noisy spectrogram."""

    epochs: int = Field(3, ge=1, le=100_000)
    batch_size: int = Field(32, ge=1, le=1_000_000)
    learning_rate: float = Field(3e-3, gt=0, le=10)
    channels: int = Field(16, ge=1, le=1024)
    """Of the widest resolution; each coarser one doubles them."""
    minimum_signal_db: float = Field(20.0, ge=-50, le=120)
    """Only records of at least this signal-to-noise ratio serve as clean."""
    mixing_db: tuple[float, float] = (-10.0, 15.0)
    """Signal-to-noise ratios that noise is mixed in at."""

    @model_validator(mode="after")
    def _ordered(self) -> DenoiserParams:
        if not self.mixing_db[0] < self.mixing_db[1]:
            raise ValueError(f"mixing_db must ascend, found {list(self.mixing_db)}")
        return self


class SeedParams(TrainingOptions):
    """The plain convolutional autoencoder of 777,987 parameters, by its own recipe."""

    epochs: int = Field(3, ge=1, le=100_000)
    batch_size: int = Field(32, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    weight_decay: float = Field(1e-5, ge=0, le=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Literal["onecycle", "cosine", "constant"] = "constant"
    records: int = Field(2000, ge=1, le=100_000_000)
    """Training records used, evenly chosen: a laptop's budget."""


class EvaluateParams(Section):
    """How the networks are judged."""

    bootstrap: int = Field(400, ge=20, le=1_000_000)
    """Resamplings of the held-out stations behind every interval."""
    floor_pairs: int = Field(200, ge=4, le=1_000_000)
    """Synthetic pairs that differ in their random phases alone."""
    curve_sizes: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = (32, 64, 128, 256, 512)
    """Latent sizes of the baselines' rate–distortion curves."""
    noise_snr_db: tuple[float, ...] = (-10.0, -5.0, 0.0, 5.0, 10.0)
    """Input signal-to-noise ratios of the denoising test."""
    denoise_records: int = Field(300, ge=4, le=1_000_000)
    worst: int = Field(12, ge=1, le=1000)
    """Records in the gallery of the worst reconstructions."""
    clusters: int = Field(8, ge=2, le=1000)
    seed: Seed = 42


class SeismicParams(Section):
    """The `seismic` section of params.yaml."""

    source: str = "synthetic"
    """`synthetic`, or the path of a folder of real files."""
    channels: tuple[Kind, ...] = Field(("HH", "HN", "EH", "BH"), min_length=1)
    filter: FilterParams | None = None
    synthetic: SyntheticParams = SyntheticParams()
    reading: ReadingParams = ReadingParams()
    window: WindowParams = WindowParams()
    store: StoreParams = StoreParams()
    stft: StftParams = StftParams()
    scaling: ScalingParams = ScalingParams()
    train: BottleneckParams = BottleneckParams()
    denoiser: DenoiserParams = DenoiserParams()
    seed: SeedParams = SeedParams()
    tensorboard: bool = False
    evaluate: EvaluateParams = EvaluateParams()

    @model_validator(mode="after")
    def _consistent(self) -> SeismicParams:
        if self.filter is not None and self.filter.high_hz >= self.window.sampling_rate_hz / 2:
            raise ValueError(
                f"filter.high_hz ({self.filter.high_hz}) must lie below half of window.sampling_rate_hz "
                f"({self.window.sampling_rate_hz / 2:g} Hz)"
            )
        if self.stft.window_samples > self.window.samples:
            raise ValueError(
                f"stft.window_samples ({self.stft.window_samples}) must fit into the window of "
                f"{self.window.samples} samples"
            )
        if self.store.validation_fraction + self.store.test_fraction >= 1:
            raise ValueError("store.validation_fraction and store.test_fraction leave nothing to train on")
        return self
