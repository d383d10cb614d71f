"""Views of the embedding: the mouse shows the tile, clicks ask again.

    left_out = write(VIEWS, inputs, Path("pages"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.pages.dendrogram import dendrogram
from earthsignals.clouds.pages.distance import distance
from earthsignals.clouds.pages.grid import grid
from earthsignals.clouds.pages.maps import components, rgb
from earthsignals.clouds.pages.neighbours import neighbours
from earthsignals.clouds.pages.scatter import scatter
from earthsignals.clouds.pages.trajectory import trajectory
from earthsignals.pages import View, write_views

__all__ = ["HEADING", "VIEWS", "write"]

HEADING = "Clouds: views of the embedding"
VIEWS: dict[str, View[Inputs]] = {
    "dendrogram": View(
        "Tree of tiles",
        "Ward's tree of the embeddings of study tiles. Below each leaf a tile drawn at random, the one "
        "nearest to the leaf's mean, and those whose triplet the embedding tells apart best and worst: "
        "largest and smallest distance to the distant tile less that to the neighbour. Bars tell the regimes "
        "of a leaf's tiles, which the network never saw. Point at leaves, bars and tiles.",
        dendrogram,
    ),
    "scatter": View(
        "The embedding in two dimensions",
        "Study tiles by principal components, isomap, t-SNE and UMAP. Point at a tile to see it.",
        scatter,
    ),
    "grid": View(
        "Tiles over the plane",
        "At each point of a grid over the isomap plane of the embeddings, the tile nearest to it; no tile "
        "twice, and nothing where no tile lies within a cell. Point at a tile to see it larger.",
        grid,
    ),
    "rgb": View(
        "The embedding as colours over scenes",
        "The three leading components of the embedding of the window around each cell, as red, green and "
        "blue; colours mean the same in all scenes. Point at a cell to see what its window saw, and these "
        "components in standard deviations of the study tiles.",
        rgb,
    ),
    "components": View(
        "Component by component over scenes",
        "A principal component of the embedding, in standard deviations of the study tiles. Point at a cell "
        "to see what its window saw and all of its components.",
        components,
    ),
    "distance": View(
        "What is like this place?",
        "Click anywhere on a scene: all maps then tell how far the embedding of each window is from that of "
        "the starred one, over the median distance of two study tiles. Yellow is alike.",
        distance,
    ),
    "neighbours": View(
        "Nearest neighbours",
        "Click a tile in the plane: beside it come the tiles from other scenes whose embeddings are nearest "
        "to its own, and how far they are.",
        neighbours,
    ),
    "trajectory": View(
        "A region hour by hour",
        "The path of one region's hourly scenes among the study tiles. A point is the mean over all windows "
        "of a scene; the picture is the window nearest to that mean. Point at the path or at a tile.",
        trajectory,
    ),
}


def write(views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write these views and their index into `out`; returns those left out, each with the reason."""
    return write_views(views, inputs, out, HEADING)
