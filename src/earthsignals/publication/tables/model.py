"""A table as data: cells of text with their intervals, from results by file and key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earthsignals.publication.numbers import Results, formatted, interval
from earthsignals.publication.sections.absent import DASH
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the interval below it, bold or not."""

    text: str
    interval: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """Heads and rows; `align` has a letter for each column: l, r, or p for text that fills what is left.

    `rules` are the rows before which a rule stands; `groups` heads over several columns: (text, columns).
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    align: str = ""
    rules: Sequence[int] = ()
    groups: Sequence[tuple[str, int]] = ()

    @property
    def columns(self) -> str:
        """A letter for each column."""
        return self.align or "l" + "r" * (len(self.head) - 1)


def label(text: str) -> Cell:
    """A row's name; what README sets in asterisks is bold."""
    bold = text.startswith("**")
    return Cell(text.strip("*"), bold=bold)


def number(
    results: Results, file: str, key: str, style: str, *, bold: bool = False, alone: bool = False,
    needed: bool = False,
) -> Cell:
    """The number at `key` with its interval, or `alone`; a dash where the file holds none there.

    Raises EarthSignalsError where what stands there is no finite number, or nothing does and it is `needed`.
    """
    value = results.find(file, key)
    if value is None and needed and not results.may_lack(file):
        value = results.value(file, key)
    if value is None:
        return Cell(DASH)
    around = None if alone else results.interval(file, key)
    try:
        ends = "" if around is None else interval(*(formatted(end, style) for end in around))
        return Cell(formatted(value, style), ends, bold)
    except EarthSignalsError as error:
        raise EarthSignalsError(f"{file}: at `{key}`, {error}; write the file anew") from None
