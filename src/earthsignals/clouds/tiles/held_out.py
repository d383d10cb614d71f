"""Validation for triplets that came without: whole days are held out, not triplets.

A triplet links two days, its anchor's and its distant tile's. Those with both held out validate, those with
none train; the others would show the network what it is validated on, so they are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Triplet = TypeVar("Triplet")

EVERY = 7  # every seventh day: of triplets with two independent days 1 in 49 validates, 36 in 49 train
MIXED = "training triplet left out: one of its two days was held out for validation"


def hold_out(
    triplets: Sequence[Triplet],
    rows: Callable[[Triplet], Sequence[dict[str, Any]]],
    left_out: Callable[[str, str], None],
) -> tuple[list[Triplet], list[Triplet]]:
    """Divide triplets, which have a `name`, into those that train and those that validate.

    rows: a triplet's rows of metadata, in the order of ROLES. left_out: called with reason and name. A day is
    `day` where it is known, else the scene; a triplet of which neither is known stands for a day of its own.
    Where no triplet lies wholly in every seventh day, days are held out until one does.
    """
    links = [_days(triplet, rows(triplet)) for triplet in triplets]
    days = sorted({day for link in links for day in link})
    held = set(days[::EVERY])
    if not any(link <= held for link in links):
        held |= min(links, key=lambda link: (len(link - held), sorted(link)), default=set())
    train, validation = [], []
    for triplet, link in zip(triplets, links, strict=True):
        if link <= held:
            validation.append(triplet)
        elif link & held:
            left_out(MIXED, triplet.name)  # type: ignore[attr-defined]
        else:
            train.append(triplet)
    return train, validation


def _days(triplet: Any, rows: Sequence[dict[str, Any]]) -> set[str]:
    return {row["day"] or row["scene"] or triplet.name for row in rows}
