"""The dial that polar maps are drawn on: the magnetic pole in the middle, noon on top, dawn to the right.

Places are Cartesian, in degrees of magnetic colatitude from the pole, so that a degree of latitude is as long
everywhere on a dial. Both hemispheres are drawn as one who looks down on the northern pole sees them: local
time runs counter-clockwise, and the pole is in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.patches import Circle, Wedge
from matplotlib.quiver import Quiver

from earthsignals.figures.artists import FURNITURE

RIM = 50.0
"""Degrees of latitude at the rim, unless cells end elsewhere."""
ARROW_DEG = 11.0
"""Length on a dial of a drift of 1,000 m/s, in degrees of latitude."""
SPACING_DEG = 4.2
"""From an arrow to the next."""
LINES = (40, 50, 60, 70, 80)


def rim_of(*mlat: np.ndarray) -> float:
    """Latitude at the rim, a multiple of 5°: where cells with these centres (degrees) end."""
    lowest = min((float(np.nanmin(np.abs(centres))) for centres in mlat), default=RIM)
    return 5 * np.floor((lowest + 0.5) / 5)


def angle(mlt: np.ndarray) -> np.ndarray:
    """Angle on the dial in radians, counter-clockwise from dawn, of hours of magnetic local time."""
    return np.deg2rad(15 * (np.asarray(mlt, float) - 6))


def place(mlat: np.ndarray, mlt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y on the dial of magnetic latitudes (degrees, either hemisphere) and local times (hours)."""
    colatitude, turn = 90 - np.abs(mlat), angle(mlt)
    return colatitude * np.cos(turn), colatitude * np.sin(turn)


def direction(
    mlat: np.ndarray, mlt: np.ndarray, north: np.ndarray, east: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """x, y components on the dial of vectors given by their northward and eastward ones.

    Poleward points to the middle: northward does so in the north, southward in the south.
    """
    turn, poleward = angle(mlt), np.where(np.asarray(mlat) < 0, -1, 1) * north
    return (
        -poleward * np.cos(turn) - east * np.sin(turn),
        -poleward * np.sin(turn) + east * np.cos(turn),
    )


@dataclass(frozen=True)
class Speeds:
    """Colours of speeds: pale is slow. `top` (m/s) is the fastest that is told apart."""

    top: float

    @classmethod
    def of(cls, *speeds: np.ndarray, share: float = 98.0) -> Speeds:
        """Up to the largest of the percentiles of all arrays, rounded up to whole hundreds of m/s."""
        known = [np.ravel(s)[np.isfinite(np.ravel(s))] for s in speeds]
        top = max((np.percentile(one, share) for one in known if len(one)), default=0.0)
        return cls(max(100.0 * np.ceil(top / 100), 100.0))

    @property
    def norm(self) -> Normalize:
        return Normalize(0, self.top)

    @property
    def colours(self) -> Colormap:
        """plasma from its pale end, without the yellow that is lost on white."""
        import matplotlib as mpl

        kept = mpl.colormaps["plasma_r"](np.linspace(0.1, 1, 256))
        return LinearSegmentedColormap.from_list("speeds", kept)


def dial(axes: Axes, rim: float = RIM, *, hours: bool = True, night: bool = True) -> None:
    """Make axes a dial down to the latitude `rim`: circles of latitude, lines of local time, night grey."""
    edge = 90 - rim
    axes.set(xlim=(-1.02 * edge, 1.02 * edge), ylim=(-1.02 * edge, 1.02 * edge), aspect="equal")
    axes.axis("off")
    # Not drawn: for the figure's source data.
    axes.set(xlabel="to the right (° from the pole)", ylabel="upwards (° from the pole)")
    axes.add_patch(Circle((0, 0), edge, facecolor="white", edgecolor="none", zorder=-3))
    dark = "0.965" if night else "white"
    axes.add_patch(Wedge((0, 0), edge, 180, 360, facecolor=dark, edgecolor="none", zorder=-2))
    for latitude in (*(line for line in LINES if line > rim), rim):
        width, grey = (0.8, "0.35") if latitude == rim else (0.4, "0.75")
        axes.add_patch(
            Circle((0, 0), 90 - latitude, facecolor="none", edgecolor=grey, linewidth=width, zorder=0.5)
        )
        if latitude != rim:
            x, y = place(latitude, 3.0)
            axes.text(
                x, y, f"{latitude:.0f}°", fontsize=5, color="0.45", ha="center", va="center", zorder=1.5,
                bbox={"facecolor": dark, "edgecolor": "none", "pad": 0.4},
            )  # fmt: skip
    for hour in range(0, 24, 6):
        axes.plot(*_ray(hour, 0, edge), color="0.75", lw=0.4, zorder=0.5, gid=FURNITURE)
        if hours:
            x, y = 1.075 * edge * np.cos(angle(hour)), 1.075 * edge * np.sin(angle(hour))
            axes.text(x, y, f"{hour:02d}", fontsize=6, color="0.25", ha="center", va="center", clip_on=False)
    for hour in range(24):
        inner = edge * (0.97 if hour % 6 else 0.95)
        axes.plot(*_ray(hour, inner, edge), color="0.35", lw=0.5, zorder=0.6, gid=FURNITURE)


def _ray(hour: float, inner: float, outer: float) -> tuple[list[float], list[float]]:
    turn = float(angle(hour))
    return [inner * np.cos(turn), outer * np.cos(turn)], [inner * np.sin(turn), outer * np.sin(turn)]


def show_cells(
    axes: Axes, mlat: np.ndarray, mlt: np.ndarray, values: np.ndarray, colours: Colormap | str,
    norm: Normalize, *, regular: bool,
) -> object:  # fmt: skip
    """Values (R, C) as coloured cells around their centres (R, C); NaN stays clear.

    regular: rows are latitudes and columns go once around the pole, so cells are wedges; else they are
    squares as large as a cell of one degree.
    """
    if regular and values.shape[0] > 1:
        rows = mlat[:, 0]
        step = np.abs(np.diff(rows)).mean()
        edges = np.concatenate([[rows[0] - np.sign(rows[1] - rows[0]) * step / 2], (rows[1:] + rows[:-1]) / 2,
                                [rows[-1] + np.sign(rows[1] - rows[0]) * step / 2]])  # fmt: skip
        width = 24 / values.shape[1]
        sides = mlt[0, 0] + width * (np.arange(values.shape[1] + 1) - 0.5)
        x, y = place(np.clip(edges, -90, 90)[:, None], sides[None])
        return axes.pcolormesh(
            x, y, np.ma.masked_invalid(values), cmap=colours, norm=norm, rasterized=True, zorder=0.2,
            linewidth=0, antialiased=False,
        )  # fmt: skip
    known = np.isfinite(values)
    x, y = place(mlat[known], mlt[known])
    return axes.scatter(
        x, y, s=4.5, c=values[known], cmap=colours, norm=norm, marker="s", linewidths=0, rasterized=True,
        zorder=0.2,
    )  # fmt: skip


def evenly(mlat: np.ndarray, mlon: np.ndarray, spacing: float = SPACING_DEG) -> np.ndarray:
    """Positions in the flattened raster of cells (R, C) that lie about `spacing` degrees apart."""
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(mlat).ravel())
    latitude, longitude = np.abs(mlat).ravel()[known], np.mod(mlon.ravel()[known], 360)
    colatitude, turn = 90 - latitude, np.deg2rad(longitude)
    tree = cKDTree(np.stack([colatitude * np.cos(turn), colatitude * np.sin(turn)], 1))
    wanted = []
    for ring in np.arange(spacing / 2, colatitude.max(initial=0) + 0.5, spacing):
        turns = 2 * np.pi * np.arange(count := max(round(2 * np.pi * ring / spacing), 3)) / count
        wanted.append(np.stack([ring * np.cos(turns), ring * np.sin(turns)], 1))
    if not wanted:
        return np.zeros(0, np.int64)
    return known[np.unique(tree.query(np.concatenate(wanted))[1])]


def averaged(
    mlat: np.ndarray, mlt: np.ndarray, drift: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Mean drift (2, n) north and east around n chosen cells: over all cells nearest to each on the dial.

    mlat, mlt: (m,). drift: (2, m), NaN where unknown. The mean is taken of vectors on the dial: north turns
    with longitude, and at the pole has no mean.
    """
    from scipy.spatial import cKDTree

    known = np.flatnonzero(np.isfinite(drift).all(0) & np.isfinite(mlat))
    centres = np.stack(place(mlat[chosen], mlt[chosen]), 1)
    nearest = cKDTree(centres).query(np.stack(place(mlat[known], mlt[known]), 1))[1]
    count = np.bincount(nearest, minlength=len(chosen))
    with np.errstate(invalid="ignore"):
        u, v = (
            np.bincount(nearest, part, len(chosen)) / count
            for part in direction(mlat[known], mlt[known], *drift[:, known])
        )
    turn = angle(mlt[chosen])
    poleward = -u * np.cos(turn) - v * np.sin(turn)
    return np.stack([np.where(mlat[chosen] < 0, -1, 1) * poleward, v * np.cos(turn) - u * np.sin(turn)])


def arrows(
    axes: Axes, mlat: np.ndarray, mlt: np.ndarray, drift: np.ndarray, speeds: Speeds, *, width: float = 0.55
) -> Quiver:
    """Drift (2, n) in m/s northwards and eastwards as arrows at n places, coloured by speed."""
    north, east = drift
    speed = np.hypot(north, east)
    known = np.isfinite(speed)
    x, y = place(mlat[known], mlt[known])
    u, v = direction(mlat[known], mlt[known], north[known], east[known])
    return axes.quiver(
        x, y, u, v, speed[known], cmap=speeds.colours, norm=speeds.norm, angles="xy", scale_units="xy",
        scale=1000 / ARROW_DEG, units="x", width=width, headwidth=3.6, headlength=4.2, headaxislength=3.6,
        minlength=0.4, zorder=3,
    )  # fmt: skip


def strokes(
    axes: Axes, mlat: np.ndarray, mlt: np.ndarray, kvect: np.ndarray, velocity: np.ndarray, speeds: Speeds,
    *, values: np.ndarray | None = None, colours: Colormap | None = None, norm: Normalize | None = None,
) -> PathCollection:  # fmt: skip
    """Line-of-sight vectors as strokes from a dot at the cell along kvect; coloured by speed, or by `values`.

    kvect: degrees east of magnetic north; velocity: m/s along it.
    """
    azimuth = np.deg2rad(kvect)
    x, y = place(mlat, mlt)
    u, v = direction(mlat, mlt, velocity * np.cos(azimuth), velocity * np.sin(azimuth))
    ends = np.stack([x + u * ARROW_DEG / 1000, y + v * ARROW_DEG / 1000], 1)
    shades = velocity if values is None else values
    looks = {"cmap": colours or speeds.colours, "norm": norm or speeds.norm}
    lines = LineCollection(
        np.stack([np.stack([x, y], 1), ends], 1), array=shades, linewidths=0.6, zorder=3, **looks
    )
    axes.add_collection(lines)
    return axes.scatter(x, y, s=1.6, c=shades, linewidths=0, zorder=3.2, **looks)
