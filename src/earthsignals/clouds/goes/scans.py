"""Files of one scan brought together, and the scan nearest to a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from earthsignals.clouds.goes.buckets import parse_name

_TOGETHER = dt.timedelta(seconds=5)
"""Bands of a scan start within a second of each other; scans of one sector 30 s apart or more."""


@dataclass(frozen=True)
class Scan:
    """What one satellite saw of one sector at one time."""

    satellite: int
    product: str
    start: dt.datetime
    """Of its first band, UTC."""
    files: Mapping[str, str]
    """File name of each band."""

    @property
    def name(self) -> str:
        """`G16_RadF_20190101T150021Z`: tells scans apart and is fit for a file's name."""
        kind = self.product.removeprefix("ABI-L1b-")
        return f"G{self.satellite:02d}_{kind}_{self.start:%Y%m%dT%H%M%SZ}"


def group_scans(names: Iterable[str]) -> list[Scan]:
    """The scans that files with these `names` (no folders) make up, by satellite, product and time.

    Of two files of one band the one that was created last counts. Raises EarthSignalsError for a name that is
    no ABI L1b file's.
    """
    parsed = sorted(
        ((parse_name(name), name) for name in names),
        key=lambda pair: (pair[0].satellite, pair[0].product, pair[0].start, pair[0].created),
    )
    groups: list[list] = []
    for file, name in parsed:
        before = groups[-1][0][0] if groups else None
        same = before is not None and (before.satellite, before.product) == (file.satellite, file.product)
        if same and file.start - before.start < _TOGETHER:
            groups[-1].append((file, name))
        else:
            groups.append([(file, name)])
    scans = []
    for group in groups:
        first = group[0][0]
        latest = {file.band: name for file, name in sorted(group, key=lambda pair: pair[0].created)}
        scans.append(Scan(first.satellite, first.product, first.start, dict(sorted(latest.items()))))
    return scans


def nearest_scan(
    scans: Sequence[Scan], product: str, time: dt.datetime, within: dt.timedelta
) -> Scan | None:
    """The scan of `product` that starts nearest to `time`, the earlier of two; None beyond `within`."""
    near = [scan for scan in scans if scan.product == product and abs(scan.start - time) <= within]
    return min(near, key=lambda scan: (abs(scan.start - time), scan.start), default=None)


def missing_bands(scan: Scan, needed: Iterable[str]) -> list[str]:
    """Bands of `needed` that the scan has no file of."""
    return sorted(set(needed) - set(scan.files))
