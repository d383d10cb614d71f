"""Views to touch: one HTML file each, with everything in it; the mouse shows the tile, clicks ask again.

    left_out = write(VIEWS, inputs, Path("pages"))
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.pages.dendrogram import dendrogram
from earthsignals.clouds.pages.distance import distance
from earthsignals.clouds.pages.document import Page, write_html, write_page
from earthsignals.clouds.pages.grid import grid
from earthsignals.clouds.pages.maps import components, rgb
from earthsignals.clouds.pages.neighbours import neighbours
from earthsignals.clouds.pages.scatter import scatter
from earthsignals.clouds.pages.trajectory import trajectory
from earthsignals.compute.mapping import progress
from earthsignals.results import MissingData

__all__ = ["VIEWS", "Page", "View", "write"]


@dataclass(frozen=True)
class View:
    """A page: what it is called, what is to be seen on it, and what draws it."""

    title: str
    caption: str
    draw: Callable[[Inputs], Page]


VIEWS: dict[str, View] = {
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


def write(views: Mapping[str, View], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write every view as `out/<name>.html`, and `out/index.html` with links to them.

    Returns:
        Views left out, each with the reason.
    """
    out, left_out = Path(out), {}
    with progress("pages", len(views), "pages") as bar:
        for name, view in views.items():
            try:
                write_page(out / f"{name}.html", view.title, view.caption, view.draw(inputs))
            except MissingData as reason:
                left_out[name] = str(reason)
            bar.advance()
    _write_index(views, left_out, out / "index.html")
    return left_out


def _write_index(views: Mapping[str, View], left_out: Mapping[str, str], path: Path) -> None:
    items = []
    for name, view in views.items():
        title, caption = html.escape(view.title), html.escape(view.caption)
        if name in left_out:
            items.append(f"<li>{title}: left out, {html.escape(left_out[name])}</li>")
        else:
            items.append(f'<li><a href="{name}.html">{title}</a><br>{caption}</li>')
    body = "<h1>How clouds organise: the embedding to look at</h1>\n<ul>\n" + "\n".join(items) + "\n</ul>"
    write_html(path, "Clouds: views of the embedding", body)
