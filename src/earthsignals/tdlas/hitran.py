"""HITRAN by network and TIPS partition sums: the only module that touches HAPI.

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

from earthsignals.tdlas.lines import METHANE, LineList, LinesError, read_lines

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
