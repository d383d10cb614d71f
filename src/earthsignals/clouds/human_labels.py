"""People's labels of cloud patterns: rectangles on pictures, and the tiles that lie in them.

A file `boxes.csv` has a row for each rectangle that somebody drew: `image` (the picture's file; folders
before it do not count), `x1`, `y1`, `x2`, `y2` (edges in pixels of the picture, from its upper left corner)
and `class`. Several people label the same clouds, so rectangles overlap, and where those of two classes do
there is no telling who was right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from earthsignals.storage import EarthSignalsError

COLUMNS = ("image", "x1", "y1", "x2", "y2", "class")
LEAST_INSIDE = 0.6
"""Share of a tile that must lie in a rectangle to bear its label."""
SAME_CLOUDS = 0.5


@dataclass(frozen=True)
class Box:
    """A rectangle on a picture; edges in its pixels."""

    image: str
    label: str
    left: float
    top: float
    right: float
    bottom: float

    def shared_area(self, other: Box) -> float:
        """Pixels that two rectangles of one picture have in common."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0) if self.image == other.image else 0.0


def read_boxes(path: Path) -> tuple[list[Box], Counter[str]]:
    """The rectangles of a `boxes.csv`, and how many of its rows are none, by reason.

    Raises EarthSignalsError where the file is missing or has other columns.
    """
    if not path.is_file():
        raise EarthSignalsError(
            f"{path}: no such file; expected a table of labelled rectangles with the columns "
            f"{', '.join(COLUMNS)} beside the pictures"
        )
    try:
        table = pd.read_csv(path, index_col=False)
    except (ValueError, OSError) as error:
        raise EarthSignalsError(f"{path} cannot be read as CSV ({error}); write it anew") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise EarthSignalsError(
            f"{path}: no column {', '.join(missing)}, expected {', '.join(COLUMNS)}; name the columns so"
        )
    edges = table[["x1", "y1", "x2", "y2"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    boxes: list[Box] = []
    refused: Counter[str] = Counter()
    for image, label, (left, top, right, bottom) in zip(table["image"], table["class"], edges, strict=True):
        if not (isinstance(image, str) and isinstance(label, str) and label.strip()):
            refused["box-unnamed"] += 1
        elif not np.isfinite([left, top, right, bottom]).all():
            refused["box-without-edges"] += 1
        elif not (right > left and bottom > top):
            refused["box-empty"] += 1
        else:
            boxes.append(Box(PurePosixPath(image).name, label.strip(), left, top, right, bottom))
    return boxes, refused


def regions(boxes: Sequence[Box]) -> np.ndarray:
    """Number (B,) of the region of each rectangle.

    Rectangles of one class that share half of the smaller one's area outline the same clouds: they are one
    observation that several people made.
    """
    area = [box.shared_area(box) for box in boxes]
    same = [
        [
            one.label == other.label and one.shared_area(other) >= SAME_CLOUDS * min(area[i], area[j])
            for j, other in enumerate(boxes)
        ]
        for i, one in enumerate(boxes)
    ]
    graph = csr_array(np.array(same, np.int8).reshape(len(boxes), len(boxes)))
    return connected_components(graph, directed=False)[1]


@dataclass(frozen=True)
class Labelled:
    """Tiles of one scene that lie in rectangles.

    row, column: (N,) int64, upper left pixels. tile, box: (M,) int64, numbers of each pair of a tile and a
    rectangle around it; a tile lies in several where those are of one class.
    """

    row: np.ndarray
    column: np.ndarray
    tile: np.ndarray
    box: np.ndarray
    dropped: Counter[str]


def tiles_in_boxes(
    boxes: Sequence[Box], x: np.ndarray, y: np.ndarray, valid: np.ndarray, tile_px: int, step_px: int
) -> Labelled:
    """Of the tiles on a grid those whose centre, and most of them, lies in a rectangle.

    boxes: of this picture. x, y: (H, W), position of each pixel of the plane in the picture, in its pixels.
    valid: (H, W) bool. Tiles in rectangles of two classes are dropped as `ambiguous`, those with a missing
    pixel as `missing`.
    """
    height, width = valid.shape
    starts = (np.arange(0, length - tile_px + 1, step_px) for length in (height, width))
    row, column = (grid.ravel() for grid in np.meshgrid(*starts, indexing="ij"))
    middle = row + tile_px // 2, column + tile_px // 2
    inside = np.zeros((len(boxes), len(row)), bool)
    for number, box in enumerate(boxes):
        mask = (x >= box.left) & (x < box.right) & (y >= box.top) & (y < box.bottom)
        inside[number] = mask[middle] & (_share(mask, row, column, tile_px) >= LEAST_INSIDE)
    labels = np.array([box.label for box in boxes])
    ambiguous = np.array([len(set(labels[of_tile])) > 1 for of_tile in inside.T], bool)
    missing = _share(~valid, row, column, tile_px) > 0
    anywhere = inside.any(0)
    kept = np.flatnonzero(anywhere & ~missing & ~ambiguous)
    tile, box_number = np.nonzero(inside[:, kept].T)
    return Labelled(
        row[kept], column[kept], tile, box_number,
        Counter(
            missing=int((anywhere & missing).sum()), ambiguous=int((anywhere & ~missing & ambiguous).sum())
        ),
    )  # fmt: skip


def _share(mask: np.ndarray, row: np.ndarray, column: np.ndarray, size: int) -> np.ndarray:
    """Share of True in windows (N,) of a mask (H, W), from its integral image (Crow 1984)."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    total[1:, 1:] = mask.cumsum(0).cumsum(1)
    low, right = row + size, column + size
    return (total[low, right] - total[row, right] - total[low, column] + total[row, column]) / size**2
