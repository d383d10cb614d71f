"""The paper's tables, built from results and written for Typst and LaTeX."""

from __future__ import annotations

from collections.abc import Callable

from earthsignals.publication.numbers import Results
from earthsignals.publication.tables import claims, clouds, overview, plume, real, seismic, superdarn, tdlas
from earthsignals.publication.tables.model import Cell, Table
from earthsignals.publication.tables.writing import to_latex, to_typst

TABLES: dict[str, Callable[[Results], Table]] = {
    "overview": overview.overview,
    "real": real.real,
    "tdlas": tdlas.methods,
    "tdlas_stress": tdlas.stress,
    "plume": plume.methods,
    "plume_dense": plume.dense,
    "seismic": seismic.reconstruction,
    "seismic_denoising": seismic.denoising,
    "clouds": clouds.methods,
    "superdarn": superdarn.leads,
    "claims": claims.verdicts,
    "claims_sources": claims.sources,
}
"""Name of a fragment → what builds it."""

__all__ = ["TABLES", "Cell", "Table", "to_latex", "to_typst"]
