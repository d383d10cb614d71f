"""Ward's tree of the tiles, with tiles of each leaf; the mouse shows them larger, and what the leaf holds."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from earthsignals.clouds.figures.inputs import Inputs, colour_of, named
from earthsignals.clouds.figures.tree import EXAMPLES
from earthsignals.clouds.pages.parts import TILE_PX, regimes_below, tile_columns, tile_hover
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, bare

WIDTH, SIDE = 1080, 90
LABELS = {"random": "random", "central": "central", "best": "best triplet", "worst": "worst triplet"}
LEAF_TOOLTIP = """<div style="font-size:12px;width:270px"><b>@count tiles</b>, @holds<br>
<div style="display:grid;grid-template-columns:auto auto;gap:4px;margin-top:4px">@tiles{safe}</div></div>"""


def dendrogram(inputs: Inputs) -> Page:
    """Branches, a bar and four tiles for each leaf."""
    tree = inputs.tree
    examples = tree.examples(inputs.embedding, inputs.tiles["margin"].to_numpy(float), inputs.seed)
    shown = np.unique(examples[examples >= 0])
    columns = tile_columns(inputs, shown, 96)
    top = figure(
        width=WIDTH, height=270, tools=TOOLS, x_range=(-0.5, tree.leaves - 0.5), y_axis_label="Ward distance",
        min_border_left=SIDE,
    )  # fmt: skip
    top.multi_line(tree.x.tolist(), tree.height.tolist(), color="black", line_width=1.4)
    top.xaxis.visible = False
    top.grid.visible = False
    top.toolbar.logo = None
    leaves = _leaves(inputs, examples, {int(k): columns["tile"][n] for n, k in enumerate(shown)})
    ends = top.scatter("leaf", "cut", source=leaves, size=14, color="#444444", hover_color="#D55E00")
    top.add_tools(tile_hover([ends], LEAF_TOOLTIP))
    rows = _tiles(inputs, examples, shown, columns, top)
    return Page(column(top, _bars(inputs, leaves, top), rows))


def _leaves(inputs: Inputs, examples: np.ndarray, uris: dict[int, str]) -> ColumnDataSource:
    tree, regimes = inputs.tree, inputs.tiles["regime"].to_numpy(object)
    counts, holds, tiles = [], [], []
    for leaf in range(tree.leaves):
        own = regimes[tree.members(leaf)]
        counts.append(len(own))
        names, number = np.unique(own, return_counts=True)
        most = sorted(zip(-number, names, strict=True))
        parts = [f"{-100 * n / len(own):.0f} % {named(regime)}" for n, regime in most]
        holds.append(", ".join(parts) if set(names) != {""} else "")
        tiles.append("".join(
            f'<div><img src="{uris[int(k)]}" width="{2 * TILE_PX}" style="display:block">{LABELS[kind]}</div>'
            for kind, k in zip(EXAMPLES, examples[:, leaf], strict=True) if k >= 0
        ))  # fmt: skip
    return ColumnDataSource({
        "leaf": list(range(tree.leaves)), "cut": [tree.cut] * tree.leaves, "count": counts, "holds": holds,
        "tiles": tiles,
    })  # fmt: skip


def _bars(inputs: Inputs, leaves: ColumnDataSource, top: figure) -> figure:
    """What share of a leaf's tiles is of which regime."""
    tree, regimes = inputs.tree, inputs.tiles["regime"].to_numpy(object)
    made = figure(
        width=WIDTH, height=60, tools="", toolbar_location=None, x_range=top.x_range, y_range=(0, 1),
        min_border_left=SIDE,
    )  # fmt: skip
    bottom = np.zeros(tree.leaves)
    bars = []
    for regime in inputs.regimes:
        share = np.array([np.mean(regimes[tree.members(k)] == regime) for k in range(tree.leaves)])
        leaves.add((bottom + share).tolist(), f"top_{regime}")
        leaves.add(bottom.tolist(), f"bottom_{regime}")
        bars.append(made.vbar(
            x="leaf", width=0.8, bottom=f"bottom_{regime}", top=f"top_{regime}", source=leaves,
            color=colour_of(regime),
        ))  # fmt: skip
        bottom += share
    made.add_tools(tile_hover(bars, LEAF_TOOLTIP))
    bare(made)
    made.outline_line_color = None
    return made


def _tiles(
    inputs: Inputs, examples: np.ndarray, shown: np.ndarray, columns: dict[str, list], top: figure
) -> figure:
    kinds = [LABELS[kind] for kind in EXAMPLES]
    made = figure(
        width=WIDTH, height=4 * 88 + 40, tools="", toolbar_location=None, x_range=top.x_range,
        y_range=kinds[::-1], min_border_left=SIDE,
    )  # fmt: skip
    row, leaf = np.nonzero(examples >= 0)
    place = np.searchsorted(shown, examples[row, leaf])
    source = ColumnDataSource(
        {name: [values[k] for k in place] for name, values in columns.items()}
        | {"x": leaf.tolist(), "y": [kinds[k] for k in row]}
    )
    edge = 68
    frames = made.rect(
        "x", "y", edge + 5, edge + 5, width_units="screen", height_units="screen", source=source,
        color="colour",
    )  # fmt: skip
    made.image_url(
        "tile", "x", "y", edge, edge, w_units="screen", h_units="screen", anchor="center", source=source
    )
    made.add_tools(tile_hover([frames]))
    made.xaxis.visible = False
    made.grid.visible = False
    made.outline_line_color = None
    regimes_below(made, inputs.regimes)
    return made
