"""A forecast as it unfolds: an animated GIF of the drift ahead beside the vectors that radars then saw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.storage import atomic_path
from earthsignals.superdarn.figures.dial import Speeds, rim_of
from earthsignals.superdarn.figures.inputs import Example, Inputs
from earthsignals.superdarn.figures.panels import scale_arrow, show_drift, show_seen, speed_bar

if TYPE_CHECKING:
    from PIL import Image

DPI = 108
FRAME_MS, LAST_MS = 220, 1600
SHADES = 56
MOST_FRAMES = 40
WIDTH, HEIGHT = 7.2, 4.3


def write_animation(inputs: Inputs, path: Path) -> None:
    """Write the middle example as a GIF that loops, the same bytes each time.

    On the left the forecast at each lead in turn; on the right the vectors that were seen then. Raises
    MissingData where no forecast was kept.
    """
    from PIL import Image

    example = inputs.example()
    leads = example.leads[:: -(-len(example.leads) // MOST_FRAMES)]
    speeds = Speeds.of(
        *(seen.velocity for seen in example.seen.values()), np.hypot(*example.forecast.swapaxes(0, 1))
    )
    pictures: list[Image.Image] = []
    for lead in leads.tolist():
        with house.style():
            png = io.BytesIO()
            _frame(example, lead, speeds).savefig(png, format="png", dpi=DPI)
        pictures.append(Image.open(png).convert("RGB"))
    palette = _palette(speeds)
    # One palette for all frames and no dithering: what stands still costs no bytes, and does not flicker.
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], loop=0, optimize=False, disposal=1,
            duration=[FRAME_MS] * (len(frames) - 1) + [LAST_MS],
        )  # fmt: skip


def _palette(speeds: Speeds) -> Image.Image:
    """Greys, and the colours of speeds by themselves and as they blend into white at the edge of a stroke."""
    from PIL import Image

    shades = speeds.colours(np.linspace(0, 1, SHADES))[:, :3]
    blended = np.concatenate([share * shades + (1 - share) for share in (1.0, 0.7, 0.45, 0.22)])
    greys = np.repeat(np.linspace(0, 1, 256 - len(blended))[:, None], 3, 1)
    colours = np.rint(255 * np.concatenate([greys, blended])).astype(np.uint8)
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image


def _frame(example: Example, lead: int, speeds: Speeds) -> Figure:
    import matplotlib.pyplot as plt

    # Fixed places: a layout worked out anew for each frame would make the dials tremble.
    figure = plt.figure(figsize=(WIDTH, HEIGHT), layout="none")
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(0.045, 0.17, 0.955, 0.86, wspace=0.14)
    rim = rim_of(example.mlat)
    show_drift(left, example, example.forecast[example.at(lead)], lead, speeds, rim, spacing=3.8)
    seen_at = max((ahead for ahead in example.seen if ahead <= lead), default=0)
    show_seen(right, example, seen_at, speeds, rim)
    scale_arrow(left, rim)
    left.set_title(f"forecast, {lead} min after {example.moment()}", pad=14, fontsize=8)
    right.set_title(f"seen at {example.moment(seen_at)}", pad=14, fontsize=8)
    speed_bar(figure, None, speeds, cax=figure.add_axes((0.3, 0.1, 0.4, 0.022)))
    return figure
