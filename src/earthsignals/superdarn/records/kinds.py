"""What kind of SuperDARN file a file is: by what it holds, never by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from earthsignals.superdarn.records import dmap
from earthsignals.superdarn.records.notes import Unusable

Kind = Literal["fitacf", "rawacf", "grid", "map", "grid-netcdf", "iqdat", "snd", "grid-ascii"]
WITH_VECTORS: tuple[Kind, ...] = ("grid", "grid-netcdf", "map", "fitacf")
"""Kinds that vectors come from; of equal vectors, the kind named first is kept."""
_HEAD_BYTES = 4 << 20
_NETCDF = (b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"CDF\x02", b"CDF\x05")


def kind_of(path: str | Path, name: str | None = None) -> Kind | None:
    """The kind of a file, or None where it is none of these; bzip2 or not.

    `grid-ascii` is the format of grid files before DMAP, which is recognised to be refused. Damaged files
    have the kind of their first good record among the first megabytes. name: what messages call the file
    (default: its path).

    Raises Unusable where the file cannot be read, is no regular file, or is a netCDF file cut off or damaged:
    nothing of such a one can be had.
    """
    name = name or str(path)
    dmap.check_regular(path, name)
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise dmap.cannot_be_read(name, error) from None
    if head.startswith(_NETCDF):
        return "grid-netcdf" if _has_grid_variables(path, name) else None
    return kind_of_bytes(head)


def kind_of_bytes(head: bytes) -> Kind | None:
    """The same of the beginning of a file, netCDF excepted."""
    data, _ = dmap.decompressed(head, limit=_HEAD_BYTES // 4)
    if dmap.is_old_ascii(data):
        return "grid-ascii"
    record = dmap.first_record(data)
    return None if record is None else dmap.kind_of_record(record)


def _has_grid_variables(path: str | Path, name: str) -> bool:
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            return any(name.startswith("vector.") for name in file.variables)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error  # without the path, which may be a copy's
        raise Unusable(
            "damaged netCDF",
            f"{name}: a netCDF file that cannot be opened ({why}), cut off or damaged; fetch it again",
        ) from None
