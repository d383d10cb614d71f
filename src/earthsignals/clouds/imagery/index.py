"""The list of a folder's scenes, `scenes.json`: day and split of each, and how many sources were refused.

Scenes are split by day (UTC): two scenes of one day share weather, and what is judged must not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from earthsignals.clouds.imagery.scene import Scene
from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError, read_json, sha256_file, write_json

INDEX = "scenes.json"
SPLITS = ("train", "validation", "study")


@dataclass(frozen=True)
class Entry:
    """A scene of the folder."""

    name: str
    file: str
    """Its file's name in the folder."""
    time: str
    """ISO 8601, UTC."""
    day: str
    """YYYY-MM-DD, UTC."""
    split: str
    """`train`, `validation` or `study`."""
    regime: str
    series: bool
    rows: int
    columns: int
    sha256: str
    """Of the file."""

    @classmethod
    def of(cls, scene: Scene, path: Path, split: str) -> Entry:
        """Of a scene that was written to `path`."""
        rows, columns = scene.plane.shape
        return cls(
            scene.name, path.name, scene.time.isoformat(), day_of(scene), split, scene.regime, scene.series,
            rows, columns, sha256_file(path),
        )  # fmt: skip


@dataclass(frozen=True)
class Index:
    """What `scenes.json` holds."""

    entries: tuple[Entry, ...]
    """In the order of their names."""
    refused: Mapping[str, int]
    """Sources that gave no scene, by reason."""
    about: Mapping[str, Any]

    def of(self, split: str, series: bool = False) -> tuple[Entry, ...]:
        """The scenes of a split: those that are judged, or those of the hourly series."""
        return tuple(entry for entry in self.entries if entry.split == split and entry.series == series)


def day_of(scene: Scene) -> str:
    """YYYY-MM-DD of the scene's time, UTC."""
    return scene.time.date().isoformat()


def write_index(
    folder: Path, entries: Sequence[Entry], refused: Mapping[str, int], about: Mapping[str, Any]
) -> Index:
    """Write `scenes.json` into `folder`. Returns what it holds.

    Raises EarthSignalsError when two scenes have one name.
    """
    twice = [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]
    if twice:
        raise EarthSignalsError(f"{folder}: more than one scene has the name {min(twice)}; give each its own")
    ordered = sorted(entries, key=lambda entry: entry.name)
    refused = {reason: int(count) for reason, count in sorted(refused.items()) if count}
    write_json(folder / INDEX, {
        "about": dict(about), "refused": refused, "scenes": [asdict(entry) for entry in ordered],
    })  # fmt: skip
    return Index(tuple(ordered), refused, dict(about))


def read_index(folder: str | Path) -> Index:
    """The index of a folder of scenes.

    Raises EarthSignalsError when it is missing or has no such form.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise EarthSignalsError(f"{path} does not exist; run `dvc repro clouds-scenes`")
    told = read_json(path)
    try:
        names = [field.name for field in fields(Entry)]
        entries = tuple(Entry(**{name: entry[name] for name in names}) for entry in told["scenes"])
        return Index(entries, dict(told["refused"]), dict(told["about"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise EarthSignalsError(
            f"{path} is no list of scenes ({type(error).__name__}: {error}); run `dvc repro clouds-scenes`"
        ) from None


def split_days(
    days: Sequence[str],
    validation_fraction: float,
    study_fraction: float,
    seed: int,
    strata: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, str]:
    """Split of each day: train, validation or study, each with at least one day.

    strata: what a day shows, one label or several (regimes). Each label's days are dealt in the asked shares,
    the rarest label first, and a label of three days or more comes to every split (iterative stratification;
    Sechidis et al. 2011, ECML PKDD, p. 145). Which days these are is a matter of the seed; the order in which
    `days` are given, and how often, is not.

    Raises EarthSignalsError for fewer than three days.
    """
    unique = sorted(set(days))
    if len(unique) < len(SPLITS):
        raise EarthSignalsError(
            f"scenes of {len(unique)} day{'s' * (len(unique) != 1)} cannot be divided into training, "
            "validation and study by day: at least three days are needed"
        )
    shuffled = [unique[i] for i in philox(seed, "clouds-split").permutation(len(unique))]
    held_out = {"study": study_fraction, "validation": validation_fraction}
    labels = {day: _labels(strata, day) for day in shuffled}
    missing = {None: _shares(len(unique), held_out)}
    counts = Counter(label for of_day in labels.values() for label in of_day)
    missing.update({label: _shares(count, held_out) for label, count in counts.items()})
    split: dict[str, str] = {}
    common = [label for label, count in counts.items() if count >= len(SPLITS)]
    for label in [*sorted(common, key=lambda label: (counts[label], label)), None]:
        for day in shuffled:
            if day in split or (label is not None and label not in labels[day]):
                continue
            side = max(SPLITS, key=lambda s: (missing[label][s], missing[None][s], SPLITS.index(s)))
            split[day] = side
            for name in (*labels[day], None):
                missing[name][side] -= 1
    return _none_empty(split, shuffled)


def _labels(strata: Mapping[str, str | Sequence[str]] | None, day: str) -> tuple[str, ...]:
    told = (strata or {}).get(day, ())
    return (told,) if isinstance(told, str) else tuple(dict.fromkeys(told))


def _shares(count: int, held_out: Mapping[str, float]) -> dict[str, float]:
    """How many of `count` days each split is to have; one at least where there is one for each."""
    if count < len(SPLITS):
        shares = {side: share * count for side, share in held_out.items()}
        return {"train": count - sum(shares.values()), **shares}
    shares = {side: max(round(share * count), 1) for side, share in held_out.items()}
    while count - sum(shares.values()) < 1:
        shares[max(shares, key=shares.__getitem__)] -= 1
    return {"train": count - sum(shares.values()), **shares}


def _none_empty(split: dict[str, str], days: Sequence[str]) -> dict[str, str]:
    """A split without a day gets one of the largest split's."""
    for side in SPLITS:
        counts = Counter(split.values())
        if not counts[side]:
            largest = max(SPLITS, key=lambda s: counts[s])
            split[next(day for day in days if split[day] == largest)] = side
    return dict(sorted(split.items()))
