"""What a folder of waveforms holds: counted, measured, and what would be refused."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.folder import FileEntry, find_files
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.records.record import COMPONENTS, REASONS, RefusedRecord
from earthsignals.seismic.records.refused import Refusal, count_reasons
from earthsignals.seismic.records.response import read_inventory
from earthsignals.seismic.store.prepare import cut_window, detrend, place_window, signal_to_noise_db

_CHUNK = 64  # files per piece of work
_inventory = lru_cache(maxsize=1)(read_inventory)  # once per worker
_QUANTILES = (5, 25, 50, 75, 95)  # per cent
_EXAMPLES = 3  # named refusals per reason


@dataclass(frozen=True)
class Seen:
    """What is kept of a record once it was looked at."""

    file: str
    kind: str
    event: str
    station: str
    noise: bool
    rate_hz: float
    seconds: float
    """Measured length, padding left out."""
    snr_db: float
    """NaN where P is unknown."""
    absent: str
    """Components filled with zeros, such as `EN`."""
    nominal: bool
    """True if directions of channels 1 and 2 were assumed."""
    crc32: int
    """Of the waveform: equal ones are one record twice."""

    @property
    def category(self) -> str:
        """earthquake, noise, or unnamed where neither file name nor header names an event."""
        return "noise" if self.noise else "earthquake" if self.event else "unnamed"


@dataclass(frozen=True)
class Inspection:
    """Result of `inspect`; `.table()` is for people, `.to_dict()` for machines."""

    folder: Path
    seen: list[Seen]
    refused: list[Refusal]
    wanted: tuple[str, ...] = ()
    """Kinds that the parameters would pack."""
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, int]:
        """Usable records per kind, the commonest first."""
        counts = Counter(record.kind or "?" for record in self.seen)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def to_dict(self) -> dict[str, Any]:
        """All figures in JSON's types: counts, quantiles, and refusals with examples."""
        total = max(len(self.seen), 1)
        return {
            "folder": self.folder.as_posix(),
            "records": len(self.seen),
            "refused": len(self.refused),
            "kinds": {
                kind: {
                    "records": count,
                    "share": count / total,
                    "packed": kind in self.wanted,
                    "snr_db": self._snr(kind),
                }
                for kind, count in self.kinds.items()
            },
            "categories": _counted(record.category for record in self.seen),
            "events": len({record.event for record in self.seen if record.event and not record.noise}),
            "stations": len({record.station for record in self.seen}),
            "sampling_rates_hz": _counted(f"{record.rate_hz:g}" for record in self.seen),
            "lengths_s": _counted(f"{record.seconds:.1f}" for record in self.seen),
            "snr_db": self._snr(None),
            "filled_components": _counted(record.absent for record in self.seen if record.absent),
            "nominal_directions": sum(record.nominal for record in self.seen),
            "reasons": {
                reason: {
                    "files": count,
                    "examples": [
                        {"file": refusal.file, "detail": refusal.detail}
                        for refusal in [r for r in self.refused if r.reason == reason][:_EXAMPLES]
                    ],
                }
                for reason, count in self.reasons.items()
            },
        }

    def table(self) -> str:
        """Lines for a terminal: kinds with files, share and signal-to-noise ratio, then the rest."""
        figures = self.to_dict()
        lines = [f"{self.folder}: {figures['records']:,} records, {figures['refused']:,} refused", ""]
        lines.append(f"{'kind':<6}{'files':>9}{'share':>9}   {'SNR dB, 5 / 50 / 95 %':<24}packed")
        for kind, row in figures["kinds"].items():
            packed = "yes" if row["packed"] else "not in seismic.channels"
            share = f"{100 * row['share']:.1f}%"
            lines.append(f"{kind:<6}{row['records']:>9,}{share:>9}   {_range(row['snr_db']):<24}{packed}")
        lines.append(f"{'all':<6}{figures['records']:>9,}{'':>9}   {_range(figures['snr_db'])}".rstrip())
        lines += [
            "",
            f"events            {figures['events']:,}",
            f"stations          {figures['stations']:,}",
            f"categories        {_listed(figures['categories'])}",
            f"sampling rates    {_listed(figures['sampling_rates_hz'], ' Hz')}",
            f"lengths           {_listed(figures['lengths_s'], ' s')}",
        ]
        if figures["filled_components"]:
            lines.append(f"filled with zeros {_listed(figures['filled_components'])}")
        if figures["nominal_directions"]:
            lines.append(
                f"directions        {figures['nominal_directions']:,} records with channels 1 and 2 taken "
                "for N and E, for want of a StationXML"
            )
        if self.reasons:
            lines += ["", "refused:"]
        for reason, row in figures["reasons"].items():
            lines.append(f"{row['files']:>9,}  {reason}: {REASONS.get(reason, '')}")
            lines += [f"{'':>11}{example['file']}: {example['detail']}" for example in row["examples"]]
        return "\n".join(lines)

    def _snr(self, kind: str | None) -> dict[str, float] | None:
        """Quantiles in dB over records (of a kind) whose P is known, None if there are none."""
        ratios = [r.snr_db for r in self.seen if kind in (None, r.kind or "?") and np.isfinite(r.snr_db)]
        if not ratios:
            return None
        values = np.percentile(ratios, _QUANTILES).tolist()
        return {str(q): value for q, value in zip(_QUANTILES, values, strict=True)}


def inspect(folder: str | Path, params: SeismicParams, *, workers: int | None = None) -> Inspection:
    """Read every waveform file in `folder` and below, of all kinds, by the rules of `params.reading`.

    workers: processes here; None does as the settings say (`workers`, `cluster`). The second of two records
    with the same waveform is counted as refused (`duplicate`), as packing does.

    Raises EarthSignalsError if the folder cannot be read or holds no waveform file.
    """
    folder = Path(folder)
    entries = find_files(folder, None)
    root = folder if folder.is_dir() else folder.parent
    chunks = [entries[start : start + _CHUNK] for start in range(0, len(entries), _CHUNK)]
    look = partial(_look_at, root=root, params=params)
    seen: list[Seen] = []
    refused: list[Refusal] = []
    first: dict[tuple, str] = {}
    results = ordered_map(
        look, chunks, workers=workers if len(chunks) > 4 else 1, description="reading waveforms",
        unit="files", sizes=[len(chunk) for chunk in chunks],
    )  # fmt: skip
    for found in results:
        for result in found:
            if isinstance(result, Refusal):
                refused.append(result)
                continue
            key = (result.crc32, result.seconds, result.station)
            if key in first:
                refused.append(Refusal(result.file, "duplicate", f"holds the same waveform as {first[key]}"))
                continue
            first[key] = result.file
            seen.append(result)
    return Inspection(folder, seen, refused, params.channels, count_reasons(refused))


def _look_at(entries: Sequence[FileEntry], root: Path, params: SeismicParams) -> list[Seen | Refusal]:
    """Each entry read, measured and let go."""
    inventory = _inventory(root)
    found: list[Seen | Refusal] = []
    for entry in entries:
        try:
            record = read_record(entry, params.reading, params.window, inventory=inventory)
        except RefusedRecord as error:
            found.append(Refusal.of(error, root))
            continue
        noise = record.event.startswith("noise")
        rate = record.sampling_rate_hz
        pick = record.picks.get("P", np.nan) * rate
        cut = place_window(record.samples, pick, "pick" if np.isfinite(pick) else "", params.window, noise)
        window, valid = cut_window(record.waveform, record.valid, cut.start, params.window.samples)
        if valid[1] > valid[0]:
            detrend(window, valid)
        found.append(
            Seen(
                file=entry.path.relative_to(root).as_posix(), kind=record.kind, event=record.event,
                station=f"{record.network}.{record.station}", noise=noise, rate_hz=record.recorded_rate_hz,
                seconds=round((record.valid[1] - record.valid[0]) / rate, 3),
                snr_db=signal_to_noise_db(window, valid, cut.p_sample, rate),
                absent="".join(c for c, code in zip(COMPONENTS, record.channels, strict=True) if not code),
                nominal=inventory is None and any(code[-1:] in ("1", "2") for code in record.channels),
                crc32=zlib.crc32(np.ascontiguousarray(record.waveform)),
            )
        )  # fmt: skip
    return found


def _counted(names: Any, most: int = 12) -> dict[str, int]:
    """Counts, the commonest first; what is beyond `most` names is summed as `others`."""
    counts = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in counts[most:])
    return dict(counts[:most]) | ({"others": rest} if rest else {})


def _range(quantiles: dict[str, float] | None) -> str:
    if quantiles is None:
        return "P unknown"
    return " / ".join(f"{quantiles[q]:.1f}" for q in ("5", "50", "95"))


def _listed(counts: dict[str, int], unit: str = "") -> str:
    named = (f"{name}{'' if name == 'others' else unit} ({count:,})" for name, count in counts.items())
    return ", ".join(named) or "-"
