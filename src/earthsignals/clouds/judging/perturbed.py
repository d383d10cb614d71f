"""Tiles of study scenes that were moved, turned, brightened and stretched in contrast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import rotate

from earthsignals.clouds.imagery.index import read_index
from earthsignals.clouds.imagery.scene import Scene, read_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox

BASES = 60
"""Tiles that are perturbed, about."""
PER_SCENE = 3
TRIES = 20
DEGREES = (15.0, 30.0, 45.0, 90.0, 180.0)
BRIGHTNESS = (-0.1, -0.05, 0.05, 0.1)
"""Added, of full scale."""
CONTRAST = (0.7, 0.85, 1.2, 1.4)
"""Factors about the tile's mean."""
_DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Variant:
    """One kind of perturbation at K amounts of n base tiles.

    images: (K, n, 3, P, P) uint8. known: (K, n), False where the scene does not reach far enough; the image
    is the base tile there.
    """

    amounts: np.ndarray
    images: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Perturbed:
    """base: (n, 3, P, P) uint8 of the scenes (n,); kinds: shift (pixels), rotation (degrees), brightness (of
    full scale), contrast (factor). skipped: places that were passed over for missing pixels."""

    base: np.ndarray
    scene: np.ndarray
    kinds: dict[str, Variant]
    skipped: int

    def stacked(self) -> np.ndarray:
        """All tiles (n + Σ K·n, 3, P, P): the base, then the kinds in order, amount after amount."""
        tiles = [kind.images.reshape(-1, *self.base.shape[1:]) for kind in self.kinds.values()]
        return np.concatenate([self.base, *tiles])

    def unstacked(self, rows: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What was worked out of `stacked` (n + Σ K·n, F): of the base (n, F), and by kind (K, n, F)."""
        count = len(self.base)
        base, start, found = rows[:count], count, {}
        for name, kind in self.kinds.items():
            size = len(kind.amounts) * count
            found[name] = rows[start : start + size].reshape(len(kind.amounts), count, *rows.shape[1:])
            start += size
        return base, found


def perturb(folder: str | Path, params: CloudsParams) -> Perturbed:
    """Base tiles at random places of up to BASES study scenes, and what becomes of them.

    folder: of scenes, with its index. The series is left out. Places whose tile has missing pixels are drawn
    anew, up to TRIES times.
    """
    folder, edge = Path(folder), params.grid.tile_px
    entries = read_index(folder).of("study")
    if len(entries) > BASES:
        entries = [entries[n] for n in np.linspace(0, len(entries) - 1, BASES).round().astype(int)]
    each = min(PER_SCENE, max(1, round(BASES / max(len(entries), 1))))
    found: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []
    names, skipped = [], 0
    with progress("perturbing tiles", len(entries), "scenes") as bar:
        for number, entry in enumerate(entries):
            scene = read_scene(folder / entry.file)
            random = philox(params.evaluate.seed, "clouds-perturbed", number)
            for _ in range(each):
                place, passed = _place(scene, edge, random)
                skipped += passed
                if place is not None:
                    found.append(_variants(scene, *place, edge, params.evaluate.shifts_px, random))
                    names.append(scene.name)
            bar.advance()
    return _gathered(found, names, params.evaluate.shifts_px, edge, skipped)


def _place(
    scene: Scene, edge: int, random: np.random.Generator
) -> tuple[tuple[int, int] | None, int]:
    """Row and column of a whole tile, with room to turn it where the scene has any; places passed over."""
    limits = []
    for size in scene.plane.shape:
        room = _margin(edge) if size >= edge + 2 * _margin(edge) else 0
        limits.append((room, size - edge - room))
    if any(high < low for low, high in limits):
        return None, 0
    for passed in range(TRIES):
        row, column = (int(random.integers(low, high + 1)) for low, high in limits)
        if scene.valid[row : row + edge, column : column + edge].all():
            return (row, column), passed
    return None, TRIES


def _margin(edge: int) -> int:
    """Pixels around a tile that its corners reach when it is turned."""
    return int(np.ceil((np.sqrt(2) - 1) / 2 * edge)) + 2


def _variants(
    scene: Scene, row: int, column: int, edge: int, shifts: tuple[int, ...], random: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By kind the images (K, 3, P, P) and which of them the scene allowed (K,)."""
    base = _window(scene, row, column, edge)
    towards = _DIRECTIONS[int(random.integers(len(_DIRECTIONS)))]
    moved = [_moved(scene, row, column, edge, shift, towards) for shift in shifts]
    turned = [_turned(scene, row, column, edge, degrees) for degrees in DEGREES]
    mean = base.mean()
    return {
        "base": (base[None], np.ones(1, bool)),
        "shift": _filled(moved, base),
        "rotation": _filled(turned, base),
        "brightness": _filled([_to_bytes(base + 255 * shift) for shift in BRIGHTNESS], base),
        "contrast": _filled([_to_bytes(mean + factor * (base - mean)) for factor in CONTRAST], base),
    }


def _filled(images: list[np.ndarray | None], base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.array([image is not None for image in images])
    return np.stack([base if image is None else image for image in images]), known


def _window(scene: Scene, row: int, column: int, edge: int) -> np.ndarray | None:
    """Tile (3, edge, edge), None where it leaves the scene or has missing pixels."""
    rows, columns = scene.plane.shape
    if row < 0 or column < 0 or row + edge > rows or column + edge > columns:
        return None
    own = (slice(row, row + edge), slice(column, column + edge))
    return scene.values[:, own[0], own[1]] if scene.valid[own].all() else None


def _moved(
    scene: Scene, row: int, column: int, edge: int, shift: int, towards: tuple[int, int]
) -> np.ndarray | None:
    """The tile `shift` pixels on, or back where the scene ends."""
    for sign in (1, -1):
        tile = _window(scene, row + sign * shift * towards[0], column + sign * shift * towards[1], edge)
        if tile is not None:
            return tile
    return None


def _turned(scene: Scene, row: int, column: int, edge: int, degrees: float) -> np.ndarray | None:
    """The scene around the tile's centre turned under it; quarter turns move whole pixels."""
    if degrees % 90 == 0:
        return np.rot90(_window(scene, row, column, edge), int(degrees // 90), axes=(1, 2))
    margin = _margin(edge)
    around = _window(scene, row - margin, column - margin, edge + 2 * margin)
    if around is None:
        return None
    whole = rotate(around.astype(np.float32), degrees, axes=(1, 2), reshape=False, order=3, mode="nearest")
    return _to_bytes(whole[:, margin:-margin, margin:-margin])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gathered(
    found: list[dict[str, tuple[np.ndarray, np.ndarray]]], names: list[str], shifts: tuple[int, ...],
    edge: int, skipped: int,
) -> Perturbed:  # fmt: skip
    amounts = {
        "shift": np.array(shifts, np.float64), "rotation": np.array(DEGREES),
        "brightness": np.array(BRIGHTNESS), "contrast": np.array(CONTRAST),
    }  # fmt: skip
    kinds = {}
    for name, values in amounts.items():
        shape = (len(values), 0, 3, edge, edge)
        images = np.stack([one[name][0] for one in found], 1) if found else np.empty(shape, np.uint8)
        known = np.stack([one[name][1] for one in found], 1) if found else np.empty(shape[:2], bool)
        kinds[name] = Variant(values, images, known)
    base = [one["base"][0] for one in found]
    base = np.concatenate(base) if base else np.empty((0, 3, edge, edge), np.uint8)
    return Perturbed(base, np.array(names, dtype=str), kinds, skipped)
