"""The list of scenes and the division of days."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from earthsignals.clouds.imagery.index import INDEX, SPLITS, Entry, read_index, split_days, write_index
from earthsignals.storage import EarthSignalsError

DAYS = [f"2020-{month:02d}-{day:02d}" for month in (1, 2, 3) for day in range(1, 31)]
ENTRY = Entry("a", "a.nc", "2020-01-01T12:00:00+00:00", "2020-01-01", "study", "fish", False, 10, 20, "0")


def test_days_are_divided_in_the_asked_shares() -> None:
    counts = Counter(split_days(DAYS, 0.1, 0.25, seed=1).values())
    assert counts == {"train": 59, "study": 22, "validation": 9}  # of 90: a tenth, and round(22.5)


def test_the_division_is_a_matter_of_the_seed_alone() -> None:
    first = split_days(DAYS, 0.1, 0.25, seed=1)
    assert split_days([*reversed(DAYS), *DAYS[:5]], 0.1, 0.25, seed=1) == first
    assert split_days(DAYS, 0.1, 0.25, seed=2) != first


@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize("fractions", [(0.01, 0.01), (0.1, 0.85), (0.49, 0.5)])
def test_every_split_has_a_day(count: int, fractions: tuple[float, float]) -> None:
    assert set(split_days(DAYS[:count], *fractions, seed=0).values()) == set(SPLITS)


def test_fewer_than_three_days_are_refused() -> None:
    with pytest.raises(EarthSignalsError, match="scenes of 2 days .* at least three days"):
        split_days([*DAYS[:2], *DAYS[:2]], 0.1, 0.25, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_every_label_comes_to_every_split_where_its_days_allow(seed: int) -> None:
    # Two labels a day; "rare" has three days of the ninety.
    strata = {day: ("abcdef"[i % 6], "abcdef"[(5 * i + i // 6) % 6]) for i, day in enumerate(DAYS)}
    strata |= {day: ("rare",) for day in DAYS[10:13]}
    split = split_days(DAYS, 0.1, 0.25, seed, strata)
    for label in (*"abcdef", "rare"):
        held = Counter(split[day] for day in DAYS if label in strata[day])
        assert set(held) == set(SPLITS), label
        if label != "rare":
            assert 0.15 < held["study"] / sum(held.values()) < 0.35
    assert abs(Counter(split.values())["study"] - 22) <= 3


def test_labels_of_too_few_days_do_not_unsettle_the_shares() -> None:
    counts = Counter(split_days(DAYS, 0.1, 0.25, 0, {day: day for day in DAYS}).values())
    assert counts == {"train": 59, "study": 22, "validation": 9}


def test_the_index_comes_back_in_the_order_of_names(tmp_path: Path) -> None:
    entries = [replace(ENTRY, name=name, file=f"{name}.nc", series=name == "c") for name in "cab"]
    written = write_index(tmp_path, entries, {"night": 2, "duplicate": 0}, {"source": "here"})
    index = read_index(tmp_path)
    assert index == written
    assert [entry.name for entry in index.entries] == ["a", "b", "c"]
    assert index.refused == {"night": 2} and index.about == {"source": "here"}
    assert [entry.name for entry in index.of("study")] == ["a", "b"]
    assert [entry.name for entry in index.of("study", series=True)] == ["c"]
    assert index.of("train") == ()


def test_two_scenes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="more than one scene has the name a"):
        write_index(tmp_path, [ENTRY, ENTRY], {}, {})


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="does not exist; run"):
        read_index(tmp_path)
    (tmp_path / INDEX).write_text('{"scenes": [{"name": "a"}], "refused": {}, "about": {}}')
    with pytest.raises(EarthSignalsError, match="no list of scenes"):
        read_index(tmp_path)
