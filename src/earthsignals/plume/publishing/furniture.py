"""What stands around a map so that it can be read: scale bar, north arrow, colour bar, key, title."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea
from matplotlib.patches import Polygon
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from earthsignals.figures import COLOURS
from earthsignals.plume.detection.bearings import direction_of
from earthsignals.plume.detection.measure import PlumeScene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARROW = 11.0  # half the north arrow's box, in points


def round_number(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not over `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * 1.0001)


def scale_bar(panel: Axes, scene: PlumeScene) -> None:
    """A bar of round length, about a quarter of the panel, in its lower left corner."""
    mapped = scene.crs is not None
    side = scene.pixel_m if mapped else 1.0
    left, right = panel.get_xlim()
    length = round_number(0.3 * (right - left) * side)
    unit = "pixels" if not mapped else "km" if length >= 1000 else "m"
    text = f"{length / 1000 if unit == 'km' else length:g} {unit}"
    bar = AnchoredSizeBar(
        panel.transData, length / side, text, "lower left", pad=0.4, borderpad=0.5, sep=2, color="black",
        size_vertical=0.004 * abs(np.ptp(panel.get_ylim())), fontproperties=FontProperties(size=6),
    )  # fmt: skip
    panel.add_artist(_on_white(bar))


def north_arrow(panel: Axes, scene: PlumeScene) -> None:
    """An arrow to true north in the panel's upper right corner; none where there is no map."""
    if scene.crs is None:
        return
    turn = math.radians(north_in_image(scene))
    area = DrawingArea(*(2 * ARROW,) * 2)

    def at(along: float, across: float) -> tuple[float, float]:
        """Points right and up of the area's corner, of a place along and across the arrow."""
        return (
            ARROW * (1 + along * math.sin(turn) + across * math.cos(turn)),
            ARROW * (1 + along * math.cos(turn) - across * math.sin(turn)),
        )

    area.add_artist(Polygon([at(0.35, 0), at(-0.9, 0.45), at(-0.6, 0), at(-0.9, -0.45)], facecolor="black"))
    area.add_artist(Text(*at(0.75, 0), "N", ha="center", va="center", fontsize=6))
    panel.add_artist(_on_white(AnchoredOffsetbox("upper right", child=area, pad=0.2, borderpad=0.5)))


def north_in_image(scene: PlumeScene) -> float:
    """Direction of true north at the scene's middle, degrees clockwise from the image's up."""
    lines, samples = scene.ch4.shape
    return direction_of(scene.transform, scene.crs, lines / 2, samples / 2, 0.0)


def _on_white(box: AnchoredOffsetbox) -> AnchoredOffsetbox:
    box.patch.set(facecolor="white", alpha=0.75, edgecolor="none")
    box.set_zorder(9)
    return box


def title(figure: Figure, scene: PlumeScene) -> None:
    """Name, number of plumes, wind and model."""
    count = len(scene.detections)
    parts = ["no plumes found" if count == 0 else f"{count} plume{'s' if count > 1 else ''}"]
    wind = scene.winds[0]
    if wind.speed_m_s is not None:
        parts.append(f"wind {wind.speed_m_s:g} m/s" + (f" ({wind.name})" if wind.name != "wind" else ""))
    parts.append(f"saliency threshold {scene.threshold:.2f}")
    if scene.model_md5:
        parts.append(f"model {scene.model_md5[:8]}")
    figure.text(0.012, 0.995, scene.stem, ha="left", va="top", fontsize=8, fontweight="bold")
    figure.text(0.988, 0.995, " · ".join(parts), ha="right", va="top", fontsize=7)


def legend(figure: Figure, colours: Colormap, ceiling: float, height: float) -> None:
    """Colour bar and key below the map; `height` is the figure's in inches."""
    axes = figure.add_axes((0.03, 0.36 / height, 0.36, 0.09 / height))
    axes.set_facecolor("0.45")
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, ceiling), colours), cax=axes, orientation="horizontal", extend="max"
    )
    bar.solids.set_edgecolor("face")
    bar.set_label("smoothed CH₄ enhancement (ppm·m)", fontsize=6, labelpad=1)
    bar.ax.tick_params(labelsize=6, length=2, pad=1)
    bar.outline.set_linewidth(0.4)
    keys = [
        Line2D([], [], color="white", linewidth=1.0, path_effects=halo(), label="plume: number, rate (68 %)"),
        Line2D(
            [], [], marker="o", linestyle="none", markersize=4, markerfacecolor=COLOURS["vermillion"],
            markeredgecolor="black", markeredgewidth=0.4, label="source",
        ),
        Line2D([], [], color=COLOURS["sky"], linewidth=1.0, label="saliency threshold"),
    ]  # fmt: skip
    figure.legend(
        handles=keys, loc="lower right", bbox_to_anchor=(0.99, 0.12 / height), ncols=3, fontsize=6.5,
        handlelength=1.4, columnspacing=1.2, borderaxespad=0.0,
    )  # fmt: skip


def halo(width: float = 1.8) -> list[AbstractPathEffect]:
    """A dark rim that keeps white lines and letters readable on any ground."""
    return [withStroke(linewidth=width, foreground="black")]
