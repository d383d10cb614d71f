"""What a folder of scenes holds: counted, measured, and what would be refused and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from earthsignals.clouds.imagery.files import Source, find_sources, read_source
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.places import Ground, survey
from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError

_EXAMPLES = 3  # named refusals per reason


@dataclass(frozen=True)
class Seen:
    """What is kept of a source once it was looked at: of a scene, or why there is none."""

    source: str
    reason: str = ""
    detail: str = ""
    day: str = ""
    """UTC, YYYY-MM-DD."""
    product: str = ""
    bands: str = ""
    rows: int = 0
    columns: int = 0
    missing: float = 0.0
    """Share of the pixels."""
    digest: str = ""
    """Of time and brightness: equal ones are one scene twice."""


@dataclass(frozen=True)
class Inspection:
    """Result of `inspect`; `.table()` is for people, `.to_dict()` for machines."""

    folder: Path
    scenes: Sequence[Seen]
    refused: Sequence[Seen]

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types: counts, sizes, and refusals with examples."""
        reasons = Counter(seen.reason for seen in self.refused)
        return {
            "folder": self.folder.as_posix(), "scenes": len(self.scenes), "refused": len(self.refused),
            "days": len({seen.day for seen in self.scenes}),
            "products": _counted(seen.product for seen in self.scenes),
            "bands": _counted(seen.bands for seen in self.scenes),
            "pixels": _counted(f"{seen.rows} x {seen.columns}" for seen in self.scenes),
            "missing": sum(seen.missing for seen in self.scenes) / max(len(self.scenes), 1),
            "reasons": {
                reason: {
                    "sources": count,
                    "examples": [
                        {"source": seen.source, "detail": seen.detail}
                        for seen in [one for one in self.refused if one.reason == reason][:_EXAMPLES]
                    ],
                }
                for reason, count in sorted(reasons.items())
            },
        }  # fmt: skip

    def table(self) -> str:
        """Lines for a terminal: scenes by product, bands and size, then refusals by reason."""
        figures = self.to_dict()
        days = figures["days"]
        lines = [
            f"{self.folder}: {len(self.scenes):,} scenes of {days:,} days, {len(self.refused):,} refused"
        ]
        for title, counts in (("product", "products"), ("bands", "bands"), ("pixels", "pixels")):
            told = ", ".join(f"{name} {count:,}" for name, count in figures[counts].items())
            lines += [f"  {title:<9}{told}"] if told else []
        if self.scenes:
            lines.append(f"  {'missing':<9}{figures['missing']:.1%} of the pixels")
        if days and days < 3:
            lines.append("  too few days: training, validation and study need one each")
        for reason, row in figures["reasons"].items():
            lines.append(f"refused, {reason}: {row['sources']:,}")
            lines += [f"  {example['source']}: {example['detail']}" for example in row["examples"]]
        return "\n".join(lines)


def inspect(folder: str | Path, params: CloudsParams) -> Inspection:
    """Read every scene at and below `folder` as `clouds-scenes` would, and keep none.

    Raises EarthSignalsError when there is no such folder, or nothing in it of a kind that could be a scene.
    """
    sources = find_sources(Path(folder))
    found = ordered_map(
        partial(_look, params=params), sources, description="looking at scenes", unit="scenes"
    )
    scenes: list[Seen] = []
    refused: list[Seen] = []
    digests: dict[str, str] = {}
    for seen in found:
        if not seen.reason and seen.digest in digests:
            refused.append(Seen(seen.source, "duplicate", f"the same scene as {digests[seen.digest]}"))
        elif seen.reason:
            refused.append(seen)
        else:
            digests[seen.digest] = seen.source
            scenes.append(seen)
    return Inspection(Path(folder), scenes, refused)


def _look(source: Source, params: CloudsParams) -> Seen:
    try:
        scene = read_source(source, params)
    except EarthSignalsError as error:
        reason, detail = getattr(error, "reason", "unreadable"), getattr(error, "detail", str(error))
        return Seen(source.name, reason, detail)
    except MemoryError:  # not this file's fault alone
        raise
    except Exception as error:  # what no rule foresaw in one file must not stop the others
        return Seen(source.name, "unreadable", f"{type(error).__name__}: {error}")
    ground = survey(scene, params.grid.tile_px, params.triplets.maximum_missing)
    rows, columns = scene.plane.shape
    if not isinstance(ground, Ground):
        too_small = min(rows, columns) < params.grid.tile_px
        return Seen(source.name, "too-small" if too_small else "empty", ground)
    digest = hashlib.sha256(f"{scene.time.isoformat()} {scene.plane}".encode())
    digest.update(scene.values)
    return Seen(
        source.name, day=scene.time.date().isoformat(), product=scene.product,
        bands="/".join(dict.fromkeys(scene.bands)), rows=rows, columns=columns,
        missing=float(1 - scene.valid.mean()), digest=digest.hexdigest(),
    )  # fmt: skip


def _counted(names: Any) -> dict[str, int]:
    """How often each occurs, the commonest first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
