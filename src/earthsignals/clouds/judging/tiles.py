"""The tiles that are judged, each once, with what is known of it, and those that rules are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from earthsignals.bootstrap import Groups
from earthsignals.clouds.params import REGIMES, CloudsParams
from earthsignals.clouds.tiles.tilefile import ROLES, Triplets
from earthsignals.storage import EarthSignalsError

FITTED = 2000
"""Training anchors that probes, regressions, components and scalings are fitted to, at most."""
TARGETS = ("log_scale", "log_anisotropy", "clustering", "cloud_fraction")
_COLUMNS = {
    "log_scale": "scale_km", "log_anisotropy": "anisotropy", "clustering": "clustering",
    "cloud_fraction": "cloud_fraction",
}  # fmt: skip
STREAM = "clouds-bootstrap"


@dataclass(frozen=True)
class Tiles:
    """Tiles (N,) of one split.

    rows: in `triplets.images(split)`. scene: (N,) names. regime: (N,) names, "" where unknown. targets: by
    TARGETS (N,) float64, NaN where unknown; scale and anisotropy as natural logarithms.
    """

    rows: np.ndarray
    scene: np.ndarray
    regime: np.ndarray
    targets: dict[str, np.ndarray]

    @classmethod
    def of(cls, table: pd.DataFrame, rows: np.ndarray) -> Tiles:
        """These rows of a split's table."""
        chosen = table.iloc[rows]
        targets = {}
        for name, column in _COLUMNS.items():
            values = chosen[column].to_numpy(np.float64)
            if name.startswith("log_"):
                values = np.log(np.where(values > 0, values, np.nan))
            targets[name] = values
        return cls(
            np.asarray(rows), chosen["scene"].to_numpy(dtype=str), chosen["regime"].to_numpy(dtype=str),
            targets,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def regimes(self) -> list[str]:
        """The regimes that occur, in the order of `params.REGIMES`, others after them."""
        present = set(self.regime.tolist()) - {""}
        return [name for name in REGIMES if name in present] + sorted(present - set(REGIMES))


@dataclass(frozen=True)
class Study:
    """What is judged: tiles of the study split, each once, and the triplets among them.

    triplets: (T, 3) positions in `tiles` of anchor, neighbour and distant tile. groups: the tiles by scene,
    with the resamples that all rows share. fit: training anchors.
    """

    tiles: Tiles
    triplets: np.ndarray
    groups: Groups
    fit: Tiles
    duplicates: int

    @classmethod
    def of(cls, triplets: Triplets, params: CloudsParams) -> Study:
        """Raises EarthSignalsError for fewer than two study scenes, or no training triplets."""
        table, training = triplets.table("study"), triplets.table("train")
        anchors = np.flatnonzero(training["role"] == ROLES[0])
        scenes = table["scene"].nunique()
        if scenes < 2 or len(anchors) < 2:
            raise EarthSignalsError(
                f"{triplets.path}: the study split has tiles of {scenes} scenes and the training split "
                f"{len(anchors)} triplets, expected at least two of each; prepare more scenes or ask for "
                "more triplets (clouds.triplets) and run `dvc repro clouds-triplets`"
            )
        known = table["row"].to_numpy() >= 0
        # Tiles whose place in their scene is unknown are each their own.
        place = pd.DataFrame({
            "scene": table["scene"], "row": table["row"], "column": table["column"],
            "unknown": np.where(known, -1, np.arange(len(table))),
        })  # fmt: skip
        number = place.groupby(list(place), sort=False).ngroup().to_numpy()
        first = np.unique(number, return_index=True)[1]
        tiles = Tiles.of(table, first)
        position = number.reshape(-1, len(ROLES))
        evenly = np.unique(np.linspace(0, len(anchors) - 1, min(FITTED, len(anchors))).round().astype(int))
        groups = Groups.of(tiles.scene, params.evaluate.bootstrap, params.evaluate.seed, STREAM)
        return cls(tiles, position, groups, Tiles.of(training, anchors[evenly]), len(table) - len(first))
