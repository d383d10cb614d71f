"""Packing: a folder of waveform files becomes a store for training and evaluation.

    counts = pack(Path("data/seismic/waveforms"), params, Path("data/seismic/packed"),
                  Path("reports/seismic/refused.csv"), resume_root=root / ".resume")
    store = open_store("data/seismic/packed")

Every file is read once, by all processors, and prepared: window, linear trend, band-pass, float32. What
cannot be a record is listed with its reason and never stops the run. The store is the same for any number of
workers and any interruption; memory holds a few pieces of the work at a time and the table of records.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from earthsignals.compute.mapping import ordered_map
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.folder import find_files
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.records.refused import Refusal, write_refused
from earthsignals.seismic.store.catalogue import NUMBERS, read_catalogue
from earthsignals.seismic.store.integrity import StoreError
from earthsignals.seismic.store.packed import VERSION, WAVEFORMS, Store, open_store
from earthsignals.seismic.store.pieces import DIGEST, Piece, PieceMaker, Source, tasks
from earthsignals.seismic.store.split import assign_splits
from earthsignals.seismic.store.statistics import training_statistics
from earthsignals.seismic.store.writing import trace_names, write_metadata, write_waveforms
from earthsignals.storage import atomic_directory

__all__ = ["Store", "StoreError", "open_store", "pack"]

Refused = tuple[str, str, str]  # file, reason, detail


def pack(
    source: Path,
    params: SeismicParams,
    out: Path,
    refused_csv: Path,
    *,
    resume_root: Path,
    workers: int | None = None,
    read: Callable[..., Any] = read_record,
) -> dict[str, Any]:
    """Pack the waveform files of the folder `source` into the store `out`; refused ones go to `refused_csv`.

    Finished pieces wait in `resume_root` until the store is whole; a killed run goes on from them. `read`
    must pickle; it stands for `records.read.read_record`.

    Returns counts: `files`, `records`, `kinds`, `categories`, `splits`, `p_status` and `refused` (by name).

    Raises EarthSignalsError when the folder has no usable record, when no division into train, dev and test
    exists, when records.csv cannot be used, or when the disk is full.
    """
    sources = list_sources(source, params)
    stations = sorted(source.glob("*.xml"))  # StationXML: responses, directions of components 1 and 2
    folder = resume_root / f"seismic-pack-{_key(sources, params, stations)}"
    folder.mkdir(parents=True, exist_ok=True)

    maker = PieceMaker(params, folder, source if stations else None, read)
    made = ordered_map(
        maker, tasks(sources), workers=workers, description="packing", unit="files",
        sizes=[len(files) for _, files in tasks(sources)],
    )  # fmt: skip
    pieces = [Piece(path) for path in made]
    counts = assemble(pieces, params, out, refused_csv, source=source)
    shutil.rmtree(folder)
    return {"files": len(sources), **counts}


def list_sources(source: Path, params: SeismicParams) -> list[Source]:
    """The folder's files of the asked kinds, in the order of their names, with what its records.csv tells."""
    entries = sorted(find_files(source, params.channels), key=lambda entry: entry.path.as_posix())
    if not entries:
        raise StoreError(
            f"{source} holds no waveform files of the kinds {', '.join(params.channels)}; expected miniSEED "
            "or SAC files, e.g. HH/<event>_<station>_HH.mseed: name their kinds in seismic.channels or "
            "their folder in seismic.source"
        )
    base = source if source.is_dir() else source.parent
    # Names that are no UTF-8 could not be written to a table.
    paths = (entry.path.relative_to(base).as_posix() for entry in entries)
    names = [path.encode("utf-8", "backslashreplace").decode() for path in paths]
    known = read_catalogue(base, names)
    numbers = known[list(NUMBERS)].to_numpy(float)
    return [
        Source(entry, name, event or entry.event, category, *(float(value) for value in values))
        for entry, name, values, event, category in zip(
            entries, names, numbers, known["event"], known["category"], strict=True
        )
    ]


def assemble(
    pieces: Sequence[Piece], params: SeismicParams, out: Path, refused_csv: Path, *, source: Path
) -> dict[str, Any]:
    """Write the store from its pieces: leave duplicates out, divide, count. Returns the counts."""
    table, refused = _collect(pieces)
    if table.empty:
        _report(refused_csv, refused)
        reasons = ", ".join(f"{reason} {count}" for reason, count in _by_reason(refused).items())
        raise StoreError(
            f"{source}: none of its {len(refused)} files is a usable record ({reasons}); {refused_csv} tells "
            "each file's reason"
        )
    keep, twice = _find_duplicates(table)
    refused = sorted(refused + twice)
    table = table[keep].reset_index(drop=True)
    _report(refused_csv, refused)

    stations = table["station_network_code"] + "." + table["station_code"]
    table["split"] = assign_splits(_events(table), stations, params.store)
    samples, bucket = params.window.samples, params.store.bucket_records
    table["trace_name"] = trace_names(len(table), bucket, samples)
    units = sorted(set(table["trace_units"]))
    counts = {
        "records": len(table),
        "kinds": _count(table["trace_channel"]),
        "categories": _count(table["trace_category"]),
        "splits": _count(table["split"]),
        "p_status": _count(table["trace_p_status"]),
        "refused": _by_reason(refused),
    }
    with atomic_directory(out) as temporary:
        write_waveforms(
            temporary / WAVEFORMS, _blocks(pieces, keep), records=len(table), samples=samples,
            bucket_records=bucket, sampling_rate_hz=params.window.sampling_rate_hz, unit=" or ".join(units),
            restituted=params.reading.response == "remove",
        )  # fmt: skip
        about = {
            "samples": samples, "sampling_rate_hz": params.window.sampling_rate_hz,
            "p_sample": params.window.p_sample, "counts": counts, "statistics": training_statistics(table),
        }  # fmt: skip
        write_metadata(temporary, table, about)
    return counts


def _collect(pieces: Sequence[Piece]) -> tuple[pd.DataFrame, list[Refused]]:
    """All rows of metadata, and all refused files."""
    tables, refused = [], []
    for piece in pieces:
        columns, bad = piece.about()
        refused += bad
        if columns:
            tables.append(pd.DataFrame(columns))
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), refused


def _find_duplicates(table: pd.DataFrame) -> tuple[np.ndarray, list[Refused]]:
    """Which rows to keep (N,) bool, and the others as refused.

    The first in the order of file names stays. Another is a duplicate when its window holds the same bytes,
    or when it is of the same event at the same station, location and instrument kind.
    """
    names = table["trace_name_original"]
    of_bytes = names.groupby(table[DIGEST]).transform("first")
    named = ["source_id", "station_network_code", "station_code", "station_location_code", "trace_channel"]
    of_name = names.groupby([table[column] for column in named]).transform("first")
    of_name = of_name.where(table["source_id"] != "", names)
    same_bytes, same_name = (of_bytes != names).to_numpy(), (of_name != names).to_numpy()
    refused = [
        (names[row], "duplicate", f"the same samples as {of_bytes[row]}" if same_bytes[row] else
         f"the same event, station and instrument as {of_name[row]}")
        for row in np.flatnonzero(same_bytes | same_name)
    ]  # fmt: skip
    return ~(same_bytes | same_name), refused


def _events(table: pd.DataFrame) -> pd.Series:
    """Event of each record; an earthquake whose event is unknown counts as one of its own."""
    unknown = (table["source_id"] == "") & (table["trace_category"] == "earthquake")
    return table["source_id"].where(~unknown, "file:" + table["trace_name_original"])


def _blocks(pieces: Sequence[Piece], keep: np.ndarray) -> Iterator[np.ndarray]:
    """The kept waveforms, a piece at a time."""
    start = 0
    for piece in pieces:
        waveforms = piece.waveforms()
        kept = keep[start : start + len(waveforms)]
        start += len(waveforms)
        yield waveforms if kept.all() else waveforms[kept]


def _report(path: Path, refused: Sequence[Refused]) -> None:
    write_refused(path, [Refusal(*entry) for entry in refused])


def _by_reason(refused: Sequence[Refused]) -> dict[str, int]:
    return dict(sorted(Counter(reason for _, reason, _ in refused).items()))


def _count(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in sorted(column.value_counts().items())}


def _key(sources: Sequence[Source], params: SeismicParams, stations: Sequence[Path]) -> str:
    """Names a run for resuming: its files as they are now, what is known of them, and how they are read."""
    digest = hashlib.sha256()
    shaping = params.model_dump(mode="json", include={"channels", "reading", "filter", "window"})
    digest.update(json.dumps([VERSION, shaping], sort_keys=True).encode())
    files = [(source, path) for source in sources for path in source.entry.files]
    for told, path in [*files, *((None, path) for path in stations)]:
        try:
            status = path.stat()
            digest.update(f"{told!r}\t{path}\t{status.st_size}\t{status.st_mtime_ns}\n".encode(errors="replace"))
        except OSError:  # a dangling link: refused when its turn comes
            digest.update(f"{told!r}\t{path}\n".encode(errors="replace"))
    return digest.hexdigest()[:16]
