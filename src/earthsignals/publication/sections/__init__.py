"""What runs write into README.md: section → (file of numbers, function to Markdown)."""

from __future__ import annotations

from collections.abc import Callable

from earthsignals.publication.sections import claims, clouds, machines, plume, seismic, superdarn, tdlas
from earthsignals.publication.sections.words import Numbers

SECTIONS: dict[str, tuple[str, Callable[[Numbers], str]]] = {
    **tdlas.SECTIONS, **plume.SECTIONS, **seismic.SECTIONS, **clouds.SECTIONS,
    **superdarn.SECTIONS, **machines.SECTIONS, **claims.SECTIONS,
}  # fmt: skip
