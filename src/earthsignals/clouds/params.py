"""Validated parameters of the clouds pipeline: the `clouds` section of params.yaml.

Units stand in the names. A value outside its bounds stops the stage with the key's full path and the allowed
range.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from earthsignals.params import Section, Share
from earthsignals.training import TrainingOptions

Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Regime = Literal["sugar", "gravel", "fish", "flowers", "open-cells", "closed-cells"]
REGIMES: tuple[Regime, ...] = ("sugar", "gravel", "fish", "flowers", "open-cells", "closed-cells")
"""Sugar, gravel, fish and flowers are the patterns of trade-wind cumulus (Stevens et al. 2020, QJRMS 146);
open and closed cells are the mesoscale cells of marine stratocumulus (Wood 2012, Mon. Wea. Rev. 140)."""


class GridParams(Section):
    """The local equal-area plane that every scene is brought onto, and the tiles cut from it."""

    tile_km: float = Field(200.0, gt=0, le=5000)
    tile_px: int = Field(128, ge=32, le=2048)

    @property
    def pixel_km(self) -> float:
        """Edge of a pixel."""
        return self.tile_km / self.tile_px


class ScenesParams(Section):
    """Synthetic scenes. A day's scenes show different regions; splits are by day."""

    days: int = Field(240, ge=3, le=100_000)
    scenes_per_day: int = Field(2, ge=1, le=1000)
    size_px: int = Field(384, ge=64, le=16_384)
    """Edge of a scene, at least that of a tile."""
    regimes: tuple[Regime, ...] = Field(REGIMES, min_length=2)
    series_hours: int = Field(12, ge=0, le=240)
    """One further day of the study split, hour by hour over one region, its organisation drifting: for
    trajectories. Not among the tiles that are judged. 0 leaves it out."""
    seed: Seed = 50


class Domain(Section):
    """A rectangle of longitudes and latitudes in degrees; west > east crosses the antimeridian."""

    west: float = Field(-60.0, ge=-180, le=180)
    east: float = Field(-30.0, ge=-180, le=180)
    south: float = Field(10.0, ge=-90, le=90)
    north: float = Field(30.0, ge=-90, le=90)

    @model_validator(mode="after")
    def _not_empty(self) -> Domain:
        if not self.south < self.north:
            raise ValueError(f"south ({self.south}) must be less than north ({self.north})")
        if self.west == self.east:
            raise ValueError(f"west and east are both {self.west}: the domain is empty")
        return self

    @property
    def width(self) -> float:
        """Degrees of longitude from west to east."""
        return (self.east - self.west) % 360


class GoesParams(Section):
    """Scenes of the GOES-R series from NOAA's public buckets, or from a folder of such files."""

    satellite: Literal["east", "west", "16", "17", "18", "19"] = "east"
    """east and west name the satellite that held the position on the date."""
    product: Literal["ABI-L1b-RadF", "ABI-L1b-RadC", "ABI-L1b-RadM1", "ABI-L1b-RadM2"] = "ABI-L1b-RadF"
    composite: Literal["true_colour", "bt_11", "bt_14", "bt_15", "infrared_rgb"] | tuple[str, str, str] = (
        "true_colour"
    )
    """true_colour: C01–C03 by day. bt_11, bt_14, bt_15: brightness temperature of one band. infrared_rgb:
    these three as red, green and blue. Three band names ("C02", …): an RGB of the user's own."""
    domain: Domain = Domain()
    first_day: dt.date = dt.date(2018, 12, 1)
    last_day: dt.date = dt.date(2019, 2, 28)
    hours_from_noon: tuple[Annotated[float, Field(ge=-12, le=12)], ...] = Field(
        (-3.0, 0.0, 3.0), min_length=1
    )
    """Times of day in hours from local solar noon at the centre of the domain."""
    cache: str = "data/clouds/goes"
    """Folder that files are fetched into, outside of DVC's graph; they are fetched once."""

    @model_validator(mode="after")
    def _ordered(self) -> GoesParams:
        if not self.first_day <= self.last_day:
            raise ValueError(f"first_day ({self.first_day}) must not be after last_day ({self.last_day})")
        return self


class TripletsParams(Section):
    """Anchor, neighbour in the same scene, distant tile from another scene."""

    train: int = Field(2000, ge=2, le=10_000_000)
    validation: int = Field(200, ge=2, le=10_000_000)
    study: int = Field(500, ge=2, le=10_000_000)
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Of the days."""
    study_fraction: float = Field(0.25, gt=0, lt=1)
    """Of the days. What is judged comes from these alone."""
    neighbour_rule: Literal["spread", "scaling"] = "spread"
    """spread: the distance is drawn from a normal distribution around `neighbour_distance`. scaling: it is
    `neigh_dist_scaling` exactly."""
    neighbour_distance: float = Field(0.8, gt=0, le=10)
    """Of the rule `spread`: mean distance in tile widths."""
    neighbour_spread: float = Field(0.1, ge=0, le=1)
    """Of the rule `spread`: standard deviation over the mean."""
    neigh_dist_scaling: float = Field(1.0, gt=0, le=10)
    """Of the rule `scaling`: distance in tile widths."""
    maximum_missing: Share = 0.0
    """Tiles with a larger share of missing pixels are dropped and counted; in others the gaps take the mean
    of the rest."""
    seed: Seed = 51


LEAST_PX = {"resnet18": 99, "resnet34": 179}
"""Edge of the smallest tile that an unpadded trunk leaves anything of (`EmbeddingNetwork.receptive_field`,
not asked here: reading parameters does not import torch)."""
BLUR_PX = 14
"""What that grows by with `anti_aliased`."""
SCATTERING_PX = 111
"""Edge of the smallest tile that the scattering transform fits into (`scattering.LEAST_PX`)."""


class NetworkParams(Section):
    """The network that maps a tile to its embedding.

    All but `embedding` and `hidden` are of residual networks alone.
    """

    architecture: Literal["scattering", "resnet18", "resnet34"] = "scattering"
    """scattering: fixed filters (Bruna & Mallat 2013) and a head that learns. Others: He et al. 2016."""
    width: int = Field(32, ge=4, le=256)
    """Channels of the first stage; 64 is the published network, 32 its half."""
    padding: Literal["none-in-trunk", "zero"] = "none-in-trunk"
    """none-in-trunk: stem and first two stages see no padding, so that overlapping windows share them
    exactly. zero: as published."""
    anti_aliased: bool = False
    """Blur before every subsampling (Zhang 2019)."""
    embedding: int = Field(32, ge=2, le=4096)
    hidden: int = Field(512, ge=2, le=8192)
    """Width of the head between pooled features and embedding."""
    scattering: bool = True
    """Give the head the tile's texture by fixed filters, beside what the network has learnt to see."""
    initial_weights: str | None = None
    """A file of weights under torchvision's names (.pt of tensors alone, or .safetensors) for the trunk; the
    width must be theirs."""

    @model_validator(mode="after")
    def _something_to_see(self) -> NetworkParams:
        if self.architecture == "scattering" and not self.scattering:
            raise ValueError("the architecture scattering without scattering has nothing to see tiles by")
        return self

    @property
    def least_tile_px(self) -> int:
        """Edge of the smallest tile that this network can embed, 1 where there is no limit."""
        if self.architecture == "scattering":
            return SCATTERING_PX
        trunk = LEAST_PX[self.architecture] + BLUR_PX * self.anti_aliased
        return max(1 if self.padding == "zero" else trunk, SCATTERING_PX if self.scattering else 1)


class AugmentationParams(Section):
    """What a tile may undergo each time it is shown; each tile of a triplet by itself."""

    flips: bool = True
    quarter_turns: bool = True
    rotation_degrees: float = Field(10.0, ge=0, le=180)
    zoom: float = Field(1.05, ge=1, le=2)
    """Largest magnification; the smallest is its inverse."""
    warp: float = Field(0.0, ge=0, le=0.5)
    """Largest shift of a tile's corners over its edge (perspective)."""
    grey: Share = 0.8
    """Probability that a tile is shown without colour: within a scene colours are alike, too."""
    brightness: float = Field(0.2, ge=0, le=2)
    """Largest shift of the brightness, of the full scale."""
    contrast: float = Field(0.5, ge=0, le=3)
    """Largest |ln| of the factor of contrast."""
    gamma: float = Field(0.5, ge=0, le=3)
    """Largest |ln| of the exponent."""
    colour: float = Field(0.1, ge=0, le=2)
    """Largest shift of one channel against the others."""
    noise: float = Field(0.02, ge=0, le=1)
    """Largest standard deviation of added noise."""
    blur_px: float = Field(0.5, ge=0, le=10)
    """Largest standard deviation of a blur."""


class TrainParams(TrainingOptions):
    """The recipe of the embedding."""

    epochs: int = Field(16, ge=1, le=100_000)
    batch_size: int = Field(64, ge=2, le=1_000_000)
    """Triplets."""
    learning_rate: float = Field(3e-3, gt=0, le=10)
    weight_decay: float = Field(0.05, ge=0, le=1)
    loss: Literal["contrastive", "vicreg", "triplet", "triplet-squared"] = "contrastive"
    """triplet: relu(sqrt(d_near) − sqrt(d_far) + margin) + penalty·Σ‖z‖; triplet-squared: of squared
    distances; contrastive: InfoNCE over the batch; vicreg: variance, invariance, covariance."""
    margin: float = Field(1.0, gt=0, le=100)
    penalty: float = Field(0.01, ge=0, le=100)
    temperature: float = Field(0.6, gt=0, le=10)
    initial_checkpoint: str | None = None
    """A best_model.pt to fine-tune."""


class PeersParams(Section):
    """Trainings with other losses on the same triplets, judged beside the model."""

    losses: tuple[Literal["contrastive", "vicreg", "triplet", "triplet-squared"], ...] = ()
    epochs: int = Field(4, ge=1, le=100_000)


class EmbedParams(Section):
    """Dense embeddings of study scenes."""

    scenes: int = Field(6, ge=1, le=1_000_000)
    """Study scenes that are mapped, besides all of the series."""
    step_px: int = Field(16, ge=1, le=4096)


class EvaluateParams(Section):
    """How embeddings are judged."""

    bootstrap: int = Field(400, ge=20, le=1_000_000)
    """Resamplings of the study scenes behind every interval."""
    clusters: int = Field(6, ge=2, le=1000)
    shifts_px: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (1, 2, 4, 8, 16, 32, 64)
    """Translations whose effect on the embedding is measured."""
    seed: Seed = 52


class CloudsParams(Section):
    """The `clouds` section of params.yaml."""

    source: str = "synthetic"
    """`synthetic`, `goes`, or the path of a folder of GOES files, CF netCDF scenes or images."""
    grid: GridParams = GridParams()
    scenes: ScenesParams = ScenesParams()
    goes: GoesParams = GoesParams()
    triplets: TripletsParams = TripletsParams()
    network: NetworkParams = NetworkParams()
    augmentation: AugmentationParams = AugmentationParams()
    train: TrainParams = TrainParams()
    peers: PeersParams = PeersParams()
    embed: EmbedParams = EmbedParams()
    evaluate: EvaluateParams = EvaluateParams()

    @model_validator(mode="after")
    def _consistent(self) -> CloudsParams:
        if self.source == "synthetic" and self.scenes.size_px < self.grid.tile_px:
            raise ValueError(
                f"scenes.size_px ({self.scenes.size_px}) must be at least grid.tile_px ({self.grid.tile_px})"
            )
        if self.grid.tile_px < self.network.least_tile_px:
            raise ValueError(
                f"grid.tile_px ({self.grid.tile_px}) must be at least {self.network.least_tile_px} for the "
                "network; for smaller tiles set network.architecture to resnet18, network.padding to zero "
                "and network.scattering to false"
            )
        if self.triplets.validation_fraction + self.triplets.study_fraction >= 1:
            raise ValueError(
                "triplets.validation_fraction and triplets.study_fraction leave no days to train on"
            )
        return self
