"""Where the tiles of triplets lie: anchor and neighbour in one scene, the distant tile in another.

Distance and direction of a neighbour are drawn first, and then the anchor's place among all those from which
that neighbour is inside the scene. So directions are uniform and distances follow their rule however near
the edge tiles lie; drawing the anchor first and rejecting neighbours outside would favour some directions
and, in small scenes, short distances. Where a scene has no room for the drawn pair at all, distance and
direction are drawn anew, which is counted.

All places are whole pixels, and the numbers behind them come from additions, products and square roots alone
(directions without sine and cosine), which are the same on every machine.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.params import TripletsParams
from earthsignals.clouds.tiles.tilefile import ROLES, TripletsError
from earthsignals.compute.seeds import Stream, philox

PAIRS, POSITIONS, DISTANTS = 40, 25, 100
"""Draws of distance and direction, of places for each, and of distant tiles, before a triplet is given up."""
APART_HOURS, APART_TILES = 12.0, 2.0
"""A distant tile shows other air than the anchor when so many hours or tile widths lie between them."""

MISSING = "too many missing pixels: drawn anew"
OUTSIDE = "neighbour outside of the scene: drawn anew"
NEAR = "distant tile near the anchor in place and time: drawn anew"
NEAR_KEPT = "distant tile near the anchor in place and time: kept, there was no other"
GIVEN_UP = "triplet given up after many draws"
TOO_SMALL = "scene smaller than a tile"
NO_PLACE = "scene without a tile of enough known pixels"


@dataclass(frozen=True, eq=False)
class Ground:
    """Where a scene has tiles that may be cut.

    `rows`, `columns`: how many upper left pixels a tile can have in the scene. `changes`: where, in the
    order of reading, places begin or cease to be usable: a few numbers for a scene of any size.
    """

    name: str
    time: dt.datetime
    plane: Plane
    tile_px: int
    rows: int
    columns: int
    changes: np.ndarray

    def holds(self, row: int, column: int) -> bool:
        """May the tile whose upper left pixel this is be cut?"""
        before = np.searchsorted(self.changes, row * self.columns + column, side="right")
        return bool(before % 2)

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """Latitude and longitude in degrees of the tile's centre."""
        half = (self.tile_px - 1) / 2
        return self.plane.geolocate(row + half, column + half)


@dataclass(frozen=True, eq=False)
class Places:
    """Places of N triplets: `spots` (N, 3, 3) int64, for each role scene (its number), row and column."""

    spots: np.ndarray
    redrawn: Counter[str]


def survey(scene: Scene, tile_px: int, maximum_missing: float) -> Ground | str:
    """A scene's usable places, or in a few words why it has none.

    A tile is usable when at most the share `maximum_missing` of its pixels is missing, and at least one is
    known.
    """
    height, width = scene.plane.shape
    if min(height, width) < tile_px:
        return TOO_SMALL
    missing = _missing(scene.valid, tile_px)
    usable = (missing / tile_px**2 <= maximum_missing) & (missing < tile_px**2)
    if not usable.any():
        return NO_PLACE
    # Outside of the array nothing is usable, so the first place, if usable, is a change, too.
    changes = np.flatnonzero(np.diff(usable.ravel(), prepend=False))
    return Ground(scene.name, scene.time, scene.plane, tile_px, *usable.shape, changes)


def _missing(valid: np.ndarray, size: int) -> np.ndarray:
    """Missing pixels in each window: (H - size + 1, W - size + 1) int64, from a summed-area table."""
    table = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int64)
    table[1:, 1:] = (~valid).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    return table[size:, size:] - table[:-size, size:] - table[size:, :-size] + table[:-size, :-size]


def place_triplets(
    grounds: Sequence[Ground], asked: int, params: TripletsParams, split: str, source: str
) -> Places:
    """Draw `asked` triplets; each scene holds the anchor of equally many, up to one.

    grounds: the split's scenes. source: what to name in an error. The result depends on the seed, the split's
    name and the scenes alone. Triplets that could not be placed are left out and counted in `redrawn`.

    Raises TripletsError when the split has fewer than two scenes, or none with room for a neighbour.
    """
    names = ", ".join(ground.name for ground in grounds[:5]) + (", …" if len(grounds) > 5 else "")
    if len(grounds) < 2:
        raise TripletsError(
            f"{source}: of the {split} days {len(grounds)} scenes have room for a tile ({names or 'none'}), "
            "but at least two are needed, since a triplet takes its distant tile from another scene; add "
            "scenes of further days, set clouds.grid.tile_km smaller or allow more missing pixels in "
            "clouds.triplets.maximum_missing"
        )
    stream, redrawn = Stream(params.seed, f"clouds-triplets-{split}"), Counter[str]()
    spots = []
    for number in range(asked):
        first = _order(params.seed, split, number // len(grounds), len(grounds))[number % len(grounds)]
        placed = _place(grounds, int(first), params, stream.at(number), redrawn)
        if placed is not None:
            spots.append(placed)
    if not spots:
        height, width = max(grounds, key=lambda ground: ground.rows * ground.columns).plane.shape
        raise TripletsError(
            f"{source}: no scene of the {split} days ({names}; the largest of {height} × {width} pixels) has "
            f"room for a tile of {grounds[0].tile_px} pixels and its neighbour; add larger scenes, or set"
            " clouds.triplets.neighbour_distance, neigh_dist_scaling or clouds.grid.tile_km smaller"
        )
    if len(spots) < asked:
        redrawn[GIVEN_UP] += asked - len(spots)
    return Places(np.array(spots, np.int64).reshape(-1, len(ROLES), 3), redrawn)


@lru_cache(maxsize=4)
def _order(seed: int, split: str, cycle: int, scenes: int) -> np.ndarray:
    """In which order the scenes take their turn."""
    return philox(seed, f"clouds-anchors-{split}", cycle).permutation(scenes)


def _place(
    grounds: Sequence[Ground], first: int, params: TripletsParams, random: np.random.Generator,
    redrawn: Counter[str],
) -> list[tuple[int, int, int]] | None:  # fmt: skip
    pair = _place_pair(grounds, first, params, random, redrawn)
    if pair is None:
        return None
    distant = _place_distant(grounds, pair[0], random, redrawn)
    return None if distant is None else [*pair, distant]


def _place_pair(
    grounds: Sequence[Ground], first: int, params: TripletsParams, random: np.random.Generator,
    redrawn: Counter[str],
) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:  # fmt: skip
    """Anchor and neighbour; after half of the draws in any scene, not only in the one whose turn it is."""
    for attempt in range(PAIRS):
        scene = first if attempt < PAIRS // 2 else int(random.integers(len(grounds)))
        ground = grounds[scene]
        down, right = draw_offset(params, ground.tile_px, random)
        room_down, room_right = ground.rows - abs(down), ground.columns - abs(right)
        if min(room_down, room_right) < 1:
            redrawn[OUTSIDE] += 1
            continue
        for _ in range(POSITIONS):
            row = int(random.integers(room_down)) + max(0, -down)
            column = int(random.integers(room_right)) + max(0, -right)
            if ground.holds(row, column) and ground.holds(row + down, column + right):
                return (scene, row, column), (scene, row + down, column + right)
            redrawn[MISSING] += 1
    return None


def draw_offset(params: TripletsParams, tile_px: int, random: np.random.Generator) -> tuple[int, int]:
    """Rows down and columns right from anchor to neighbour; their distance is off by half a pixel at most.

    spread: normal around `neighbour_distance` tile widths with the standard deviation `neighbour_spread`
    times that; a negative distance counts by its size. scaling: `neigh_dist_scaling` tile widths.
    """
    if params.neighbour_rule == "scaling":
        tiles = params.neigh_dist_scaling
    else:
        tiles = params.neighbour_distance * (1 + params.neighbour_spread * float(random.standard_normal()))
    distance = abs(tiles) * tile_px
    down, right = _draw_direction(random)
    # The smaller part is rounded, and the larger one follows from it: this keeps the distance.
    minor = round(distance * min(abs(down), abs(right)))
    major = round(math.sqrt(max(0.0, distance**2 - minor**2)))
    rows, columns = (major, minor) if abs(down) > abs(right) else (minor, major)
    return int(math.copysign(rows, down)), int(math.copysign(columns, right))


def _draw_direction(random: np.random.Generator) -> tuple[float, float]:
    """A uniform direction: a point of the unit disc, put on its edge."""
    while True:
        x, y = 2 * float(random.random()) - 1, 2 * float(random.random()) - 1
        length = math.sqrt(x * x + y * y)
        if 0 < length <= 1:
            return y / length, x / length


def _place_distant(
    grounds: Sequence[Ground], anchor: tuple[int, int, int], random: np.random.Generator,
    redrawn: Counter[str],
) -> tuple[int, int, int] | None:  # fmt: skip
    """A tile anywhere in another scene, if possible one that shows other air."""
    nearby = None
    for _ in range(DISTANTS):
        scene = int(random.integers(len(grounds) - 1))
        scene += scene >= anchor[0]
        ground = grounds[scene]
        row, column = int(random.integers(ground.rows)), int(random.integers(ground.columns))
        if not ground.holds(row, column):
            redrawn[MISSING] += 1
            continue
        if _apart(grounds[anchor[0]], anchor[1:], ground, (row, column)):
            return scene, row, column
        redrawn[NEAR] += 1
        nearby = nearby or (scene, row, column)
    if nearby is not None:
        redrawn[NEAR_KEPT] += 1
    return nearby


def _apart(one: Ground, here: tuple[int, int], other: Ground, there: tuple[int, int]) -> bool:
    hours = abs((one.time - other.time).total_seconds()) / 3600
    if hours >= APART_HOURS:
        return True
    tile_km = one.tile_px * one.plane.pixel_km
    return distance_km(one.centre(*here), other.centre(*there)) >= APART_TILES * tile_km


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance of two points (latitude, longitude) in degrees, on a sphere of 6371 km."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, point)) for point in (one, other))
    chord = math.sin((lat2 - lat1) / 2) ** 2
    chord += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(min(1.0, chord)))
