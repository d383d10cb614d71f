"""The embedding of every window of a scene, at any step, in bounded memory.

    model = load_model("data/clouds/best_model.pt")
    dense = embed_scene(model, read_scene("scene.nc"), step_px=16)
    dense.values            # (rows, columns, D) float32
    dense.plane.lonlat()    # centres of the windows

Modes:

- `sliding`: every window is cut out and run, as any tile is. This defines the result, for any network.
- `shared`: the trunk and the maps of texture are made of the scene, once for each phase that windows have
  against their stride of 8 pixels (a single one for a step of 8, 16, …), and only the top runs on windows.
  With an unpadded trunk the result is that of `sliding` up to the rounding of sums. With padding `zero` it is
  not, since each window's trunk then sees zeros around the window: `difference` tells by how much. Texture
  alone, a network of architecture `scattering`, is shared exactly.
- `exact`: `shared`, refused where it is not exact.
- `auto`: `shared` where it is exact and less work, else `sliding`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from earthsignals.clouds.dense.phase import Phase, TexturePhase
from earthsignals.clouds.dense.sliding import CHUNK, embed_windows
from earthsignals.clouds.dense.top import Top
from earthsignals.clouds.dense.trunk import is_exact
from earthsignals.clouds.dense.windows import Windows
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.model import SCATTERING
from earthsignals.clouds.networks.resnet import TRUNK_STRIDE
from earthsignals.compute.mapping import progress
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

MODES = ("auto", "exact", "shared", "sliding")
CHECKED = 32
"""Windows that `difference` is measured on."""


@dataclass(frozen=True)
class DenseEmbedding:
    """Embeddings of the windows of a scene."""

    name: str
    """Of the scene."""
    time: dt.datetime
    values: np.ndarray
    """(rows, columns, D) float32; NaN for windows with too many missing pixels."""
    windows: Windows
    plane: Plane
    """The raster whose pixels are the windows' centres."""
    mode: str
    """`shared` or `sliding`."""
    missing: int
    """Windows that are NaN."""
    difference: float | None = None
    """Of inexact sharing: largest difference from `sliding`, relative to the largest value, on a sample."""


@dataclass(frozen=True)
class Strip:
    """A part of the result: rows and columns of windows, and their values (rows, columns, D)."""

    rows: slice
    columns: slice
    values: np.ndarray


class DensePlan:
    """What there is to do for a scene; `strips` does it, bit by bit.

    Raises EarthSignalsError for a scene on another grid than the model's tiles, or smaller than one, and for
    `exact` with a network whose trunk pads.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        scene: Scene,
        step_px: int,
        mode: str = "auto",
        maximum_missing: float = 0.0,
    ) -> None:
        check_grid(model, scene)
        self.model, self.scene = model, scene
        self.windows = Windows.of(scene.plane.shape, model.grid.tile_px, step_px, f"scene {scene.name}")
        self.plane = self.windows.plane(scene.plane)
        self.mode = chosen_mode(model, self.windows, scene, mode)
        share = self.windows.missing_share(scene.valid)
        self.wanted = (share <= maximum_missing) & (share < 1)
        self.gaps = self.wanted & (share > 0)

    @property
    def missing(self) -> int:
        """Windows that stay NaN."""
        return int(self.wanted.size - self.wanted.sum())

    def strips(self, quiet: bool = False) -> Iterator[Strip]:
        """Every window once, in strips of bounded size; with a bar of its own unless `quiet`."""
        title, enabled = f"embedding {self.scene.name}", False if quiet else None
        with progress(title, self.wanted.size, "windows", enabled=enabled) as bar:
            for strip in self._shared() if self.mode == "shared" else self._sliding():
                yield strip
                bar.advance(strip.values.shape[0] * strip.values.shape[1])

    def _sliding(self) -> Iterator[Strip]:
        step = max(1, CHUNK // self.windows.shape[1])
        for start in range(0, self.windows.shape[0], step):
            yield self._filled(slice(start, start + step), slice(None), self.wanted)

    def _filled(self, rows: slice, columns: slice, which: np.ndarray) -> Strip:
        """A strip in which the windows `which` are embedded one by one, the others NaN."""
        part = which[rows, columns]
        values = np.full((*part.shape, self.model.network.embedding), np.nan, np.float32)
        corners = np.stack(
            np.meshgrid(self.windows.row[rows], self.windows.column[columns], indexing="ij"), -1
        )[part]  # fmt: skip
        values[part] = embed_windows(self.model, self.scene, corners)
        return Strip(rows, columns, values)

    def _shared(self) -> Iterator[Strip]:
        network, top = self.model.network, None
        if network.architecture != SCATTERING:
            with torch.no_grad():
                top = Top(network, network.trunk_window(self.windows.size))
        cycle = TRUNK_STRIDE // np.gcd(self.windows.step, TRUNK_STRIDE)
        for first_row in range(min(cycle, self.windows.shape[0])):
            for first_column in range(min(cycle, self.windows.shape[1])):
                yield from self._phase(top, slice(first_row, None, cycle), slice(first_column, None, cycle))

    def _phase(self, top: Top | None, rows: slice, columns: slice) -> Iterator[Strip]:
        """Windows that begin on pixels of the same remainder by the trunk's stride."""
        row, column = self.windows.row[rows], self.windows.column[columns]
        image = self.scene.values[:, row[0] :, column[0] :]
        shape = self.windows.size, self.windows.step * rows.step
        phase = (
            TexturePhase(self.model.network, image, *shape) if top is None
            else Phase(self.model.network, top, image, *shape)
        )  # fmt: skip
        for start in range(0, len(row), phase.rows_at_once):
            count = min(phase.rows_at_once, len(row) - start)
            first = rows.start + rows.step * start
            which = slice(first, first + rows.step * (count - 1) + 1, rows.step)
            strip = self._filled(which, columns, self.gaps)
            plain = self.wanted[which, columns] & ~self.gaps[which, columns]
            if plain.any():
                strip.values[plain] = phase.embedded(start, plain)
            yield strip

    @property
    def inexact(self) -> bool:
        """Do results differ from those of windows cut out by more than rounding?"""
        return self.mode != "sliding" and not is_exact(self.model.network) and bool(self.wanted.any())

    def difference(self, values: np.ndarray) -> float | None:
        """Of inexact sharing; see `DenseEmbedding`. None for exact results."""
        rows, columns = self.wanted.nonzero()
        if not self.inexact:
            return None
        some = np.unique(np.linspace(0, len(rows) - 1, CHECKED).round().astype(int))
        rows, columns = rows[some], columns[some]
        corners = np.stack([self.windows.row[rows], self.windows.column[columns]], 1)
        expected = embed_windows(self.model, self.scene, corners)
        return float(np.abs(values[rows, columns] - expected).max() / np.abs(expected).max())


def embed_scene(
    model: EmbeddingModel, scene: Scene, step_px: int, *, mode: str = "auto", maximum_missing: float = 0.0,
    quiet: bool = False,
) -> DenseEmbedding:  # fmt: skip
    """Embed every window of the model's tile size that begins on a multiple of `step_px` pixels.

    Windows with a larger share of missing pixels than `maximum_missing` are NaN; in others the gaps take the
    mean of the rest, as in triplets. Besides the result, memory holds a strip of bounded size.

    Raises EarthSignalsError: see `DensePlan`.
    """
    plan = DensePlan(model, scene, step_px, mode, maximum_missing)
    values = np.empty((*plan.windows.shape, model.network.embedding), np.float32)
    for strip in plan.strips(quiet):
        values[strip.rows, strip.columns] = strip.values
    return DenseEmbedding(
        scene.name, scene.time, values, plan.windows, plan.plane, plan.mode, plan.missing,
        plan.difference(values),
    )  # fmt: skip


def check_grid(model: EmbeddingModel, scene: Scene) -> None:
    """Raise EarthSignalsError where the scene's pixels have another size than those of the model's tiles."""
    expected = model.grid.tile_km / model.grid.tile_px
    if abs(scene.plane.pixel_km - expected) > 1e-6 * expected:
        raise EarthSignalsError(
            f"scene {scene.name} has pixels of {scene.plane.pixel_km:.6g} km, expected the {expected:.6g} km "
            f"of {model.path or model.name}: bring it onto that grid (clouds.grid), or take another model"
        )


def chosen_mode(model: EmbeddingModel, windows: Windows, scene: Scene, mode: str) -> str:
    """`shared` or `sliding`; see the module's head. Raises EarthSignalsError as `DensePlan`."""
    exact = is_exact(model.network)
    if mode not in MODES:
        raise EarthSignalsError(f"there is no mode `{mode}`, expected one of {', '.join(MODES)}")
    if mode == "exact" and not exact:
        raise EarthSignalsError(
            f"{model.path or model.name} has a trunk with padding `{model.network.padding}`, which "
            "overlapping windows cannot share exactly: take the mode `auto`, or train with "
            "clouds.network.padding none-in-trunk"
        )
    if mode != "auto":
        return "sliding" if mode == "sliding" else "shared"
    phases = (TRUNK_STRIDE // np.gcd(windows.step, TRUNK_STRIDE)) ** 2
    fewer = phases * np.prod(scene.plane.shape) < np.prod(windows.shape) * windows.size**2
    return "shared" if exact and fewer else "sliding"
