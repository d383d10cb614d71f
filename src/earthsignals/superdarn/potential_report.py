"""What a map file says of each of its records, as a table and as contours of potential on a dial."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import atomic_path
from earthsignals.superdarn.maps import Maps
from earthsignals.superdarn.potential import extremes, potential, residuals

COLUMNS = (
    "start", "hemisphere", "order", "latmin", "drop_kv", "max_kv", "min_kv", "stated_drop_kv", "vectors",
    "residual_m_s", "stated_residual_m_s",
)  # fmt: skip
DRAWN = 6
"""Records that a page shows."""
STEP_KV = 3.0


def rows_of(maps: Maps) -> list[dict[str, Any]]:
    """A row per record: potentials in kV by RST's sampling, LOS residual in m/s, and what the file says."""
    limits, (rms, counts) = extremes(maps), residuals(maps)
    return [
        {
            "start": moment(maps, n), "hemisphere": "north" if maps.hemisphere[n] > 0 else "south",
            "order": int(maps.order[n]), "latmin": float(maps.latmin[n]),
            "drop_kv": limits["pot.drop"][n] / 1e3, "max_kv": limits["pot.max"][n] / 1e3,
            "min_kv": limits["pot.min"][n] / 1e3, "stated_drop_kv": maps.stated["pot.drop"][n] / 1e3,
            "vectors": int(counts[n]), "residual_m_s": float(rms[n]),
            "stated_residual_m_s": float(maps.stated["rms.err"][n]),
        }
        for n in range(len(maps))
    ]  # fmt: skip


def moment(maps: Maps, record: int) -> str:
    """When a record begins, UTC."""
    return f"{dt.datetime.fromtimestamp(float(maps.start_s[record]), dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def draw_potential(path: Path, maps: Maps) -> None:
    """A PNG of the first records, noon on top: potential, boundary, and where vectors were. Atomic."""
    from earthsignals import figures as house
    from earthsignals.superdarn.figures.dial import dial, place
    from earthsignals.superdarn.figures.panels import dials
    from earthsignals.superdarn.mlt import mlt, mlt_of_zero

    count = min(len(maps), DRAWN)
    mlat, mlon = np.meshgrid(np.arange(40, 90.01, 0.5), np.arange(0, 361, 3.0))
    volts = potential(maps, mlat, mlon)[:count] / 1e3
    top = max(float(np.abs(volts).max()), STEP_KV)
    drop = extremes(maps)["pot.drop"]
    steps = np.ceil(top / STEP_KV)
    levels = STEP_KV * (np.arange(-steps - 1, steps + 1) + 0.5)  # none at 0, which is everywhere outside
    rim = max(40.0, 5 * np.floor((maps.latmin[:count].min() - 3) / 5))
    zero = mlt_of_zero((maps.start_s + maps.end_s) / 2)
    with house.style():
        figure, panels = dials(min(count, 3), -(-count // 3))
        for axes in panels.ravel()[count:]:
            axes.axis("off")
        for n, axes in zip(range(count), panels.ravel(), strict=False):
            dial(axes, rim)
            x, y = place(mlat, mlt(mlon, zero[n]))
            drawn = axes.contourf(
                x, y, np.ma.masked_array(volts[n], mlat < rim), levels, cmap="RdBu_r", zorder=0.2, alpha=0.8
            )
            lons, lats = maps.boundary[n]
            axes.plot(*place(lats, mlt(lons, zero[n])), color="0.2", lw=0.8, ls="--", zorder=2)
            seen = maps.vectors[n]
            inside = np.abs(seen.mlat) >= rim
            x, y = place(seen.mlat[inside], mlt(seen.mlon[inside], zero[n]))
            axes.scatter(x, y, s=1.5, c="0.15", lw=0, zorder=2)
            axes.set_title(f"{moment(maps, n)}\n{drop[n] / 1e3:.1f} kV", pad=9)
        bar = figure.colorbar(drawn, ax=panels, location="bottom", shrink=0.6, aspect=28, pad=0.02)
        bar.set_label("potential (kV)")
        with atomic_path(path) as temporary, open(temporary, "wb") as out:
            figure.savefig(out, format="png", metadata={"Software": None})
