"""HITRAN by network, TIPS partition sums, and the list that the parameters ask for; wraps HAPI.

Source: Kochanov et al. 2016, JQSRT 177, 15-30 (HAPI); Gamache et al. 2021 (TIPS-2021).
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np

from earthsignals.tdlas.lines import (
    COLUMNS,
    METHANE,
    WATER,
    LineList,
    LinesError,
    embedded_lines,
    keep_near,
    read_lines,
)
from earthsignals.tdlas.params import LinesParams

ISOTOPOLOGUES = {METHANE: (1, 2, 3, 4), 1: (1, 2, 3, 4)}


@functools.cache
def hapi() -> ModuleType:
    """HAPI, imported without its banner on standard output."""
    with contextlib.redirect_stdout(io.StringIO()):
        import hapi as module
    return module


@functools.lru_cache(maxsize=4096)
def partition_sum(molecule: int, isotopologue: int, temperature_k: float) -> float:
    """Total internal partition sum Q(T) [1] by HAPI's TIPS; ValueError outside its range."""
    with contextlib.redirect_stdout(io.StringIO()):
        return float(hapi().partitionSum(molecule, isotopologue, temperature_k))


def molar_mass(molecule: int, isotopologue: int) -> float:
    """Molar mass in g/mol from HAPI's isotopologue table."""
    return float(hapi().ISO[(molecule, isotopologue)][hapi().ISO_INDEX["mass"]])


def fetch(molecule: int, low: float, high: float, attempts: int = 3, pause_s: float = 2.0) -> LineList:
    """Download lines in [low, high] cm-1 from HITRAN, retried; nothing is left behind on failure.

    Raises LinesError naming what was wanted and how to supply it by hand when the network is not there.
    """
    global_ids = [
        hapi().ISO[(molecule, iso)][hapi().ISO_INDEX["id"]] for iso in ISOTOPOLOGUES[molecule]
    ]
    failure: BaseException | None = None
    for attempt in range(attempts):
        # A fresh folder each time: HAPI writes its table in place, so a broken download stays here.
        with tempfile.TemporaryDirectory(prefix="hitran-") as folder:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    hapi().db_begin(folder)
                    hapi().fetch_by_ids("fetched", global_ids, low, high)
                lines = read_lines(Path(folder) / "fetched.data")
                return LineList(
                    **{**lines.__dict__, "edition": f"HITRAN online, {time.strftime('%Y-%m-%d')}"}
                )
            except (Exception, SystemExit) as error:  # HAPI raises bare Exception on any URL fault
                failure = error
        if attempt + 1 < attempts:
            time.sleep(pause_s * 2**attempt)
    raise LinesError(
        f"HITRAN could not be reached for molecule {molecule}, {low:g} .. {high:g} cm-1, after "
        f"{attempts} attempts ({type(failure).__name__}: {str(failure)[:80]}). Connect to the network, "
        "or export the lines at hitran.org and give the file's path as tdlas.lines.source, or use "
        "tdlas.lines.source: embedded."
    )


def collect_lines(params: LinesParams) -> LineList:
    """The line list that `tdlas.lines` asks for: methane, and water where a source for it is given.

    Lines up to `wing_margin` beyond the scan window are kept. Raises LinesError where the source cannot
    be used or has no methane line in the window.
    """
    methane = _from(params.source, METHANE, params)
    window = (params.window_low, params.window_high)
    kept = keep_near(methane, *window, params.wing_margin, params.minimum_intensity)
    if params.water_source is None:
        return kept
    water = _from(params.water_source, WATER, params)
    water = keep_near(water, *window, params.wing_margin, params.minimum_intensity)
    columns = (
        np.concatenate([getattr(kept, name), getattr(water, name)]) for name in COLUMNS
    )
    return LineList(*columns, edition=f"{kept.edition}; water: {water.edition}")


def _from(source: str, molecule: int, params: LinesParams) -> LineList:
    if source == "embedded":
        lines = embedded_lines()
    elif source == "hitran":
        margin = params.wing_margin
        lines = fetch(molecule, params.window_low - margin, params.window_high + margin)
    else:
        lines = read_lines(Path(source))
    own = lines.of_molecule(molecule)
    if not len(own):
        raise LinesError(
            f"{source}: holds no line of HITRAN molecule {molecule} (found molecules "
            f"{sorted(set(lines.molecule.tolist()))}); give a list that holds it."
        )
    return own
