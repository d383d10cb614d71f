"""The report of refused files: what was left out and why."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from earthsignals.seismic.records.record import RefusedRecord
from earthsignals.storage import EarthSignalsError, atomic_path

COLUMNS = ("file", "reason", "detail")


@dataclass(frozen=True)
class Refusal:
    """A refused file, or a station of one."""

    file: str
    """Path as it is reported: relative to the folder that was read, with forward slashes."""
    reason: str
    """One of `record.REASONS`."""
    detail: str

    @classmethod
    def of(cls, error: RefusedRecord, root: str | Path | None = None) -> Refusal:
        """Of the exception; paths below `root` are reported relative to it."""
        path = error.path
        if root is not None and path.is_relative_to(root):
            path = path.relative_to(root)
        return cls(path.as_posix(), error.reason, error.detail)


def count_reasons(refused: Iterable[Refusal]) -> dict[str, int]:
    """Refusals per reason, the commonest first, names deciding ties."""
    counts = Counter(refusal.reason for refusal in refused)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_refused(path: str | Path, refused: Iterable[Refusal]) -> None:
    """Write the CSV with columns file, reason, detail, in the given order; atomically, also when empty."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        # A file's name may hold bytes that are no UTF-8, which Python carries as lone surrogates.
        writer.writerows(
            [
                text.encode("utf-8", "backslashreplace").decode("utf-8")
                for text in (r.file, r.reason, r.detail)
            ]
            for r in refused
        )


def read_refused(path: str | Path) -> list[Refusal]:
    """The refusals of a report.

    Raises EarthSignalsError if it is missing or no such report.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise EarthSignalsError(
            f"{path} cannot be read ({error.strerror}); expected a report of refusals"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise EarthSignalsError(f"{path} is no report of refusals ({error}); write it anew") from None
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise EarthSignalsError(f"{path} is no report of refusals: expected the columns {', '.join(COLUMNS)}")
    return [Refusal(*row) for row in rows[1:]]
