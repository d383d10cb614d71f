"""Which days train, which choose, which judge: whole days, so that no morning is on both sides.

Flightlines of a day share weather, sun, ground and the very plumes; tiles of one day in two splits would
let a model be judged on what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError

SPLITS = ("train", "validation", "test")


def split_days(
    days: Iterable[str], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, str]:
    """Day → `train`, `validation` or `test`.

    days: one name per day, in any order and with repeats; the result depends on the set alone. The
    fractions are shares of the days, each split has at least one. Raises EarthSignalsError for fewer
    than three days.
    """
    known = sorted(set(days))
    if len(known) < 3:
        raise EarthSignalsError(
            f"the flightlines are of {len(known)} day(s) ({', '.join(known) or 'none'}), but training, "
            "validation and test take at least one day each; add flightlines of other days."
        )
    test = min(max(1, round(test_fraction * len(known))), len(known) - 2)
    validation = min(max(1, round(validation_fraction * len(known))), len(known) - test - 1)
    order = philox(seed, "plume-day-split").permutation(len(known))
    named = ["test"] * test + ["validation"] * validation + ["train"] * (len(known) - test - validation)
    split = {known[place]: name for place, name in zip(order, named, strict=True)}
    return {day: split[day] for day in known}
