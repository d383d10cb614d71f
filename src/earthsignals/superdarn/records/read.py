"""One reader for all files that hold vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earthsignals.storage import EarthSignalsError, is_partial
from earthsignals.superdarn.params import GriddingParams, SuperdarnParams
from earthsignals.superdarn.records.dmap import Reading, check_regular
from earthsignals.superdarn.records.fitacf import read_fitacf
from earthsignals.superdarn.records.gridfile import read_grid, read_map
from earthsignals.superdarn.records.kinds import Kind, kind_of
from earthsignals.superdarn.records.netcdf import read_netcdf
from earthsignals.superdarn.records.notes import Note, Unusable
from earthsignals.superdarn.records.vectors import Vectors


@dataclass(frozen=True)
class Read:
    """What a file gave."""

    vectors: Vectors
    """Sorted, each once."""
    kind: Kind
    records: int
    """Good records; of netCDF: distinct windows."""
    notes: tuple[Note, ...]
    """What was wrong with the rest."""


def read_vectors(
    path: str | Path, params: SuperdarnParams | GriddingParams, name: str | None = None
) -> Read:
    """The vectors of a file of any kind, known by what it holds.

    params: how fitacf is gridded. name: what messages call the file (default: its path).

    Raises Unusable, in one sentence, where no vectors can come of it.
    """
    gridding = params.gridding if isinstance(params, SuperdarnParams) else params
    name = name or str(path)
    try:
        return _read(path, gridding, name)
    except Unusable:
        raise
    except (EarthSignalsError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Damage that leaves a file its form but not its sense: fields of other types or of impossible values.
        raise Unusable(
            "damaged", f"{name}: its fields hold what no such file has ({error}); fetch it again"
        ) from error


def _read(path: str | Path, gridding: GriddingParams, name: str) -> Read:
    kind = kind_of(path, name)
    if kind in ("rawacf", "iqdat", "snd"):
        raise Unusable(
            f"{kind}, which holds no velocities",
            f"{name}: {kind} records hold no velocities; fit them first (RST's make_fit writes fitacf) and "
            "read the fitted file",
        )
    if kind == "grid-netcdf":
        vectors, notes = read_netcdf(path, name)
        records = len(np.unique(vectors.start_s))
    else:
        vectors, reading = _read_dmap(path, kind, gridding, name)
        notes, records = list(reading.notes), len(reading)
    vectors, twice = vectors.deduplicated()
    if twice:
        notes.append(Note("vectors twice in a file", twice))
    return Read(vectors, kind or "grid", records, tuple(notes))


def _read_dmap(
    path: str | Path, kind: Kind | None, gridding: GriddingParams, name: str
) -> tuple[Vectors, Reading]:
    if kind == "fitacf":
        return read_fitacf(path, gridding, name)
    if kind == "map":
        return read_map(path, name)
    return read_grid(path, name)  # of a file of no known kind, this says what is wrong with it


def files_below(path: Path) -> list[Path]:
    """The files below a folder, or the file itself, in the order of their names; hidden ones and what is no
    regular file (pipes, devices) are left out.

    Raises EarthSignalsError where there is nothing, or `path` is neither a file nor a folder.
    """
    if path.is_file():
        return [path]
    if path.exists() and not path.is_dir():
        check_regular(path)
    if not path.is_dir():
        raise EarthSignalsError(
            f"{path}: no such file or folder; expected SuperDARN files (fitacf, grid, map or grid netCDF)"
        )
    below = sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in below if _counts(file.relative_to(path).parts)]
    if not files:
        raise EarthSignalsError(
            f"{path}: the folder holds no file; expected SuperDARN files somewhere below it"
        )
    return files


def _counts(parts: Iterable[str]) -> bool:
    return not any(part.startswith(".") or is_partial(part) for part in parts)
