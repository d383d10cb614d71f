"""How each method is named and drawn: the same in every figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from earthsignals.figures import COLOURS


@dataclass(frozen=True)
class Look:
    """Name in legends, colour, line style and marker of a method: told apart without colour as well."""

    label: str
    colour: str
    line: str
    marker: str


METHODS = {
    "model": Look("network", COLOURS["blue"], "-", "o"),
    "threshold_area": Look("threshold + area", COLOURS["vermillion"], "--", "s"),
    "zscore": Look("z-score", COLOURS["green"], "-.", "^"),
}
_OTHERS = (COLOURS["purple"], COLOURS["orange"], COLOURS["sky"], COLOURS["black"])


def look(name: str) -> Look:
    """The look of a method; peers, which parameters name, take the colours that are left."""
    if name in METHODS:
        return METHODS[name]
    return Look(name, _OTHERS[sum(name.encode()) % len(_OTHERS)], ":", "D")


def methods_in(names: Iterable[str], prefix: str, last: str) -> list[str]:
    """Methods that have an array `<prefix>/<method>/<last>`, ours first, then the baselines, then peers."""
    found = {n.split("/")[1] for n in names if n.startswith(f"{prefix}/") and n.endswith(f"/{last}")}
    found = {name for name in found if f"{prefix}/{name}/{last}" in set(names)}
    known = [name for name in METHODS if name in found]
    return known + sorted(found - set(known))
