"""Evaluation on real records outside the repository, which nothing was trained on.

Every choice (linear codes, probe, trigger, thresholds) comes from the packed store that the networks were
trained on. The real folder's earthquakes are judged as they are. Noise is what lies below folders whose names
begin with `noise`, cut into windows; and, since that may be a single station, surrogates of what each record
holds before its P arrival: noise of the same spectra at the same station. No twins exist of real records, so
the floor is the surrogates' estimate (see judging/floor.py).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from earthsignals.bootstrap import Groups, named
from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox
from earthsignals.seismic.dataset import list_sources
from earthsignals.seismic.denoising.augment import surrogate_noise
from earthsignals.seismic.evaluate import check_windows, judge, on_device
from earthsignals.seismic.judging.fitted import Models, fit
from earthsignals.seismic.judging.population import Population
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.read import read_record, read_stations
from earthsignals.seismic.records.record import RefusedRecord
from earthsignals.seismic.store.packed import Store
from earthsignals.seismic.store.pieces import Piece, PieceMaker, Source, prepare_record, tasks
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_path, write_json

if TYPE_CHECKING:
    from earthsignals.seismic.checkpoint import SpectrogramModel

SURROGATE = "surrogate of "
QUIET_BEFORE_P_S = 0.5
LEAST_QUIET_S = 4.0


def evaluate_real(
    path: str | Path, store: Store, bottleneck: SpectrogramModel, denoiser: SpectrogramModel,
    seed: SpectrogramModel, params: SeismicParams, *, settings: Settings, out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Judge the networks on the real records below `path` and write the metrics to `out` (JSON).

    store: what the networks were trained on.

    The keys are those of metrics.json, and: `data`, `data_md5` (content hash), `kinds`, `refused` (counts
    by reason), `auc_by_noise`. Raises EarthSignalsError where the folder is missing or holds no usable
    earthquake.
    """
    path, models = Path(path), Models(bottleneck, denoiser, seed)
    check_windows(store, models)
    folder = read_folder(path, params)
    with on_device(models, settings):
        fitted = fit(store, models, params)
        found = judge(
            folder.store, np.arange(len(folder.store)), models, fitted, params, twins=False
        )
    kinds = folder.store.metadata.loc[folder.store.rows(category="earthquake"), "trace_channel"]
    metrics = found.metrics | {
        "data": path.name, "data_md5": md5_path(path), "refused": folder.refused,
        "kinds": {str(kind): int(count) for kind, count in sorted(Counter(kinds).items())},
        "noise_windows": folder.noise_windows, "noise_surrogates": folder.surrogates,
        "auc_by_noise": _auc_by_noise(folder.store, found.arrays, params),
    }  # fmt: skip
    write_json(out, metrics)
    return metrics


@dataclass(frozen=True)
class RealRecords:
    """A folder's records in memory, all of the split "test": earthquakes, noise windows, surrogates."""

    store: Store
    refused: dict[str, int]
    noise_windows: int
    surrogates: int


def read_folder(path: Path, params: SeismicParams) -> RealRecords:
    """Read and prepare a folder as packing does, whatever the kinds of its instruments.

    Raises EarthSignalsError where the folder is missing or holds no usable earthquake.
    """
    if not path.is_dir():
        raise EarthSignalsError(
            f"{path}: no such folder of real data; give the path of a folder of miniSEED or SAC files, or "
            "set real_data in settings.yaml (EARTHSIGNALS_REAL_DATA)"
        )
    anything = params.model_copy(update={"channels": None})
    sources = list_sources(path, anything)
    quiet = [source for source in sources if _is_noise(source)]
    rows, waveforms, refused = _earthquakes(
        path, [source for source in sources if not _is_noise(source)], anything
    )
    if not any(row["trace_category"] == "earthquake" for row in rows):
        told = ", ".join(f"{reason} {count}" for reason, count in refused.items()) or "none there"
        raise EarthSignalsError(
            f"{path}: no usable record of an earthquake in it ({told}); expected miniSEED or SAC files of "
            "three components, e.g. HH/<event>_<station>_HH.mseed"
        )
    surrogates = list(_surrogates(rows, waveforms, params))
    windows = list(_windows(quiet, anything, refused))
    both = [*zip(rows, waveforms, strict=True), *windows, *surrogates]
    table = pd.DataFrame.from_records([row for row, _ in both])
    table["split"] = "test"
    store = Store(
        folder=path, waveforms=np.stack([waveform for _, waveform in both]), metadata=table,
        skipped=np.empty(0, np.int64), statistics={}, sampling_rate_hz=params.window.sampling_rate_hz,
        about={},
    )  # fmt: skip
    return RealRecords(store, dict(sorted(refused.items())), len(windows), len(surrogates))


def _is_noise(source: Source) -> bool:
    """Below a folder whose name begins with `noise`, where recordings may be of any length."""
    return any(part.lower().startswith("noise") for part in Path(source.name).parts[:-1])


def _earthquakes(
    path: Path, sources: list[Source], params: SeismicParams
) -> tuple[list[dict[str, Any]], np.ndarray, Counter[str]]:
    """Rows of metadata and prepared waveforms (n, 3, S); refused files by reason."""
    inventory = path if sorted(path.glob("*.xml")) else None
    rows: list[dict[str, Any]] = []
    waveforms: list[np.ndarray] = [np.empty((0, 3, params.window.samples), np.float32)]
    refused: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="earthsignals-real-") as folder,
        progress("reading real records", len(sources), "files") as bar,
    ):
        make = PieceMaker(params, Path(folder), inventory, read_record)
        for task in tasks(sources):
            piece = Piece(make(task))
            columns, bad = piece.about()
            rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            waveforms.append(piece.waveforms())
            refused.update(reason for _, reason, _ in bad)
            bar.advance(len(task[1]))
    return rows, np.concatenate(waveforms), refused


def _windows(
    sources: list[Source], params: SeismicParams, refused: Counter[str]
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Noise of any length as windows that do not overlap."""
    samples = params.window.samples
    for source in sources:
        try:
            records = read_stations(source.entry.path, params.reading, params.window)
        except RefusedRecord as refusal:
            refused[refusal.reason] += 1
            continue
        for record in records:
            first, past = record.valid
            for start in range(first, past - samples + 1, samples):
                part = record.waveform[:, start : start + samples]
                piece = replace(record, waveform=part, valid=(0, samples), picks={})
                try:
                    yield prepare_record(piece, replace(source, category="noise"), params)
                except RefusedRecord as refusal:
                    refused[refusal.reason] += 1


def _surrogates(
    rows: list[dict[str, Any]], waveforms: np.ndarray, params: SeismicParams
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """For each earthquake a noise record with the spectra of what it holds before P."""
    rate, samples = params.window.sampling_rate_hz, params.window.samples
    unknown = float("nan")
    for number, (row, waveform) in enumerate(zip(rows, waveforms, strict=True)):
        p_sample = row["trace_p_arrival_sample"]
        if row["trace_category"] != "earthquake" or not np.isfinite(p_sample):
            continue
        quiet = waveform[:, row["trace_valid_start"] : max(round(p_sample - QUIET_BEFORE_P_S * rate), 0)]
        if quiet.shape[1] < LEAST_QUIET_S * rate or not quiet.any():
            continue
        generator = philox(params.evaluate.seed, "seismic-real-noise", number)
        yield row | {
            "trace_name_original": SURROGATE + row["trace_name_original"], "trace_category": "noise",
            "source_id": "", "trace_p_arrival_sample": unknown, "trace_s_arrival_sample": unknown,
            "trace_snr_db": unknown, "source_magnitude": unknown, "path_ep_distance_km": unknown,
            "trace_valid_start": 0, "trace_valid_stop": samples,
        }, surrogate_noise(quiet, samples, generator)  # fmt: skip


def _auc_by_noise(
    store: Store, arrays: Mapping[str, np.ndarray], params: SeismicParams
) -> dict[str, dict[str, Any]]:
    """AUCs against recorded noise windows alone, and against surrogates alone."""
    if "detection/label" not in arrays:
        return {}
    population = Population.of(store, np.arange(len(store)))
    stations = Groups.of(
        population.station, params.evaluate.bootstrap, params.evaluate.seed, "seismic-bootstrap"
    )
    made = store.metadata["trace_name_original"].str.startswith(SURROGATE).to_numpy(bool)
    found: dict[str, dict[str, Any]] = {}
    for name, noise in (("recorded", ~made & ~population.is_event), ("surrogates", made)):
        chosen = population.is_event | noise
        if noise.any():
            found[name] = {"noise_records": int(noise.sum())}
            for score in ("latent", "sta_lta", "reconstruction_error"):
                values = arrays[f"detection/{score}"][chosen]
                triple = stations.subset(chosen).auc(values, population.is_event[chosen])
                found[name] |= named(f"auc_{score}", triple)
    return found
