"""Where to cut tiles: around plumes, around false enhancements, and where there is neither.

A place is a valid pixel (row, col); its window holds rows row - W/2 .. row + W/2 - 1 and columns likewise,
as the dense map sees it, so a window may reach beyond the scene (which counts as invalid there).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from earthsignals.plume.params import TilesParams

PLUME, FALSE = 1, 2  # classes of the mask
MINIMUM_VALID = 0.5  # share of a window's pixels that must be valid
TRIES = 30  # draws per wanted tile before its place is given up


@dataclass
class Places:
    """Chosen places of a scene, (N,) each, and how many draws were refused for which reason."""

    row: list[int] = field(default_factory=list)
    col: list[int] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    plume: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Ground:
    """What decides about a window: mask (L, S) uint8, valid (L, S) bool, points of false enhancements."""

    mask: np.ndarray
    valid: np.ndarray
    points: np.ndarray
    window: int

    def judge(self, row: int, col: int, minimum_plume_pixels: int) -> str:
        """bg, neg, pos, or why this window serves as none: `mostly invalid`, `little plume`."""
        lines, samples = self.valid.shape
        if not (0 <= row < lines and 0 <= col < samples and self.valid[row, col]):
            return "invalid pixel"
        if window_of(self.valid, row, col, self.window).sum() < MINIMUM_VALID * self.window**2:
            return "mostly invalid"
        mask = window_of(self.mask, row, col, self.window)
        plume = int((mask == PLUME).sum())
        if plume >= minimum_plume_pixels:
            return "pos"
        if plume:
            return "little plume"
        return "neg" if (mask == FALSE).any() or self._holds_a_point(row, col) else "bg"

    def _holds_a_point(self, row: int, col: int) -> bool:
        if not len(self.points):
            return False
        offset = self.points - (row - self.window // 2, col - self.window // 2)
        return bool(((offset >= 0) & (offset < self.window)).all(axis=1).any())


def choose_places(
    mask: np.ndarray,
    valid: np.ndarray,
    plumes: Sequence[tuple[float, float]],
    confusers: Sequence[tuple[float, float]],
    window: int,
    params: TilesParams,
    random: np.random.Generator,
) -> Places:
    """Places of one scene's tiles, in the order plumes, false enhancements, background.

    mask: (L, S) uint8 of classes; valid: (L, S) bool; plumes, confusers: row and column of each source;
    window: pixels; random: draws all places. A plume keeps its number in the list; mask pixels that touch
    belong to the nearest source.

    `left_out` counts draws refused as `little plume` (some plume, but less than the minimum), `mostly
    invalid` and `invalid pixel`, and tiles for which no place was found (`no place`).
    """
    points = np.asarray(confusers, dtype=np.float64).reshape(-1, 2)
    ground = Ground(mask, valid, np.rint(points).astype(np.int64), window)
    places = Places()
    for number, pixels in plume_pixels(mask, plumes):
        _draw(
            places, ground, "pos", params.positives_per_plume, params, number,
            lambda pixels=pixels: _around(pixels[random.integers(len(pixels))], window, random),
        )  # fmt: skip
    anchors = _anchors(ground)
    if anchors:
        def near_a_false_one() -> tuple[int, int]:
            pixels = anchors[random.integers(len(anchors))]
            return _around(pixels[random.integers(len(pixels))], window, random)

        _draw(places, ground, "neg", params.negatives_per_flightline, params, -1, near_a_false_one)
    lines, samples = mask.shape
    _draw(
        places, ground, "bg", params.backgrounds_per_flightline, params, -1,
        lambda: (int(random.integers(lines)), int(random.integers(samples))),
    )  # fmt: skip
    return places


def window_of(array: np.ndarray, row: int, col: int, window: int) -> np.ndarray:
    """The part of a place's window that lies within the scene's array (L, S)."""
    top, left = row - window // 2, col - window // 2
    return array[max(0, top) : max(0, top + window), max(0, left) : max(0, left + window)]


def cut(array: np.ndarray, row: int, col: int, window: int, outside: float) -> np.ndarray:
    """A place's window (W, W), `outside` where it reaches beyond the array (L, S)."""
    tile = np.full((window, window), outside, dtype=array.dtype)
    inside = window_of(array, row, col, window)
    top, left = max(0, window // 2 - row), max(0, window // 2 - col)
    tile[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return tile


def plume_pixels(
    mask: np.ndarray, plumes: Sequence[tuple[float, float]]
) -> Iterator[tuple[int, np.ndarray]]:
    """Number and mask pixels (P, 2) of each plume that has any.

    Connected pieces (8 neighbours) go to the source that is nearest to one of their pixels. Without a list of
    sources each piece is a plume of its own.
    """
    pieces = _pieces(mask == PLUME)
    if not len(plumes):
        yield from enumerate(pieces)
        return
    sources = np.asarray(plumes, dtype=np.float64)
    owned: dict[int, list[np.ndarray]] = {}
    for piece in pieces:
        squared = [((piece - source) ** 2).sum(axis=1).min() for source in sources]
        owned.setdefault(int(np.argmin(squared)), []).append(piece)
    for number in sorted(owned):
        yield number, np.concatenate(owned[number])


def _pieces(area: np.ndarray) -> list[np.ndarray]:
    """Pixels (P, 2) of each connected piece of a boolean map."""
    labelled, _ = ndimage.label(area, structure=np.ones((3, 3), dtype=int))
    return [
        np.argwhere(labelled[where] == number) + (where[0].start, where[1].start)
        for number, where in enumerate(ndimage.find_objects(labelled), start=1)
    ]


def _anchors(ground: Ground) -> list[np.ndarray]:
    """Pixels (P, 2) of each false enhancement, so that a small roof counts as much as a large pond."""
    anchors = _pieces(ground.mask == FALSE)
    lines, samples = ground.mask.shape
    for row, col in ground.points:
        outside = not (0 <= row < lines and 0 <= col < samples)
        if outside or ground.mask[row, col] != FALSE:
            anchors.append(np.array([[row, col]]))
    return anchors


def _around(pixel: np.ndarray, window: int, random: np.random.Generator) -> tuple[int, int]:
    """A place whose window holds the pixel anywhere, all positions alike."""
    shift = random.integers(window, size=2) - (window - window // 2 - 1)
    return int(pixel[0] + shift[0]), int(pixel[1] + shift[1])


def _draw(
    places: Places, ground: Ground, kind: str, wanted: int, params: TilesParams, plume: int,
    candidate: Callable[[], tuple[int, int]],
) -> None:  # fmt: skip
    """Add up to `wanted` places of `kind`, each within TRIES draws."""
    for _ in range(wanted):
        for _ in range(TRIES):
            row, col = candidate()
            found = ground.judge(row, col, params.minimum_plume_pixels)
            if found == kind:
                places.row.append(row)
                places.col.append(col)
                places.kind.append(kind)
                places.plume.append(plume)
                break
            if found not in ("bg", "neg", "pos"):
                places.left_out[found] += 1
        else:
            places.left_out[f"no place for {kind}"] += 1
