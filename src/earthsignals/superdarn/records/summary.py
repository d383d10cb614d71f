"""`records.json`: which daily files a folder of records holds, and what could not be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from earthsignals.storage import read_json, write_json

INDEX = "records.json"


@dataclass(frozen=True)
class DayFile:
    """A daily grid file of one hemisphere."""

    file: str
    vectors: int | None
    """None of simulated ones, which are not read again to count."""
    windows: int | None
    """Distinct (start, end)."""
    radars: tuple[int, ...]
    """Station ids, rising."""


@dataclass(frozen=True)
class Refusal:
    """A file that gave nothing."""

    file: str
    reason: str
    """Short, the same for all of a kind."""
    detail: str
    """The whole sentence."""


@dataclass(frozen=True)
class Summary:
    """What the records of a run are."""

    source: str
    """`synthetic`, `s3` or the path of a folder, as the parameters have it."""
    files: tuple[DayFile, ...]
    """In the order of their names."""
    vectors: int
    radars: tuple[int, ...]
    """Station ids, rising."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Files that were read, by kind."""
    refused: tuple[Refusal, ...] = ()
    """Files that were not, in the order of their names."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Vectors, records or bytes of files that were read, by reason."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else a source tells."""

    def refusals(self) -> dict[str, int]:
        """Files by reason, in the order of the reasons' names."""
        return dict(sorted(Counter(refusal.reason for refusal in self.refused).items()))


def write_summary(folder: Path, summary: Summary) -> None:
    """Write `records.json` into `folder`, with the counts of refusals by reason beside them."""
    write_json(folder / INDEX, asdict(summary) | {"refused_by_reason": summary.refusals()})


def read_summary(folder: Path) -> Summary:
    """What `records.json` holds; raises EarthSignalsError where it is missing."""
    told = read_json(folder / INDEX)
    told.pop("refused_by_reason", None)
    told["files"] = tuple(DayFile(**entry | {"radars": tuple(entry["radars"])}) for entry in told["files"])
    told["refused"] = tuple(Refusal(**entry) for entry in told["refused"])
    return Summary(**told | {"radars": tuple(told["radars"])})
