"""What was wrong with a file that was read all the same, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from earthsignals.storage import EarthSignalsError

ROUTINE = "echoes "
"""How the reasons begin that are selection, not faults: what gridding leaves out of good records."""


class Unusable(EarthSignalsError):
    """A file of which nothing can be used; it is reported and skipped where there are others."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """Short, the same for all files of a kind of fault: what counts are made of."""

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, str(self))


@dataclass(frozen=True)
class Note:
    """A fault of a file, of which the rest was kept."""

    reason: str
    """Short, the same for all faults of a kind: what counts are made of."""
    count: int
    """How many records, vectors or bytes, as the reason says."""
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Or is it what gridding leaves out of good records?"""
        return not self.reason.startswith(ROUTINE)

    def __str__(self) -> str:
        return f"{self.reason}: {self.count:,}" + (f" ({self.detail})" if self.detail else "")


def counted(notes: Iterable[Note]) -> dict[str, int]:
    """Counts summed by reason, in the order of the reasons' names; zero counts are left out."""
    counts: Counter[str] = Counter()
    for note in notes:
        counts[note.reason] += note.count
    return {reason: counts[reason] for reason in sorted(counts) if counts[reason]}
