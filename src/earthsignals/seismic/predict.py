"""Trained networks on a user's own waveforms: any length, any number of stations, files and folders.

    model = load_model("data/seismic/denoiser.pt", "denoiser")
    print(denoise(["day.mseed", "my_waveforms"], model, "clean"))

Long records are cut into windows of the model's length; `denoise` and `reconstruct` join their results by
overlap-add, `score` and `embed` give a row per window. What cannot be read is reported beside the results and
stops nothing; only if nothing at all can be read is there an error. Every file appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.seismic.checkpoint import SpectrogramModel
from earthsignals.seismic.embeddings import arrange
from earthsignals.seismic.figures.reconstructions import Picture
from earthsignals.seismic.judging.anomalies import knn, mahalanobis
from earthsignals.seismic.params import ReadingParams
from earthsignals.seismic.prediction.gallery import EvenSample, write_gallery
from earthsignals.seismic.prediction.inputs import Inputs, Recording, Source, refuse_inside
from earthsignals.seismic.prediction.networks import AUTOENCODERS, Applied
from earthsignals.seismic.prediction.outputs import (
    PLACE,
    place,
    traces,
    write_embeddings,
    write_miniseed,
    write_table,
)
from earthsignals.seismic.prediction.places import check_folder, check_targets
from earthsignals.seismic.prediction.windows import Layout, OverlapAdd, Piece, cut, in_batches
from earthsignals.storage import EarthSignalsError

BATCH = 32
Paths = str | Path | Sequence[str | Path]
COMPONENT_ERRORS = tuple(f"{name}_{component}" for name in ("mse", "mae") for component in "ENZ")
SCORES = ("mse", "mahalanobis", "knn", "flag")


def denoise(
    paths: Paths, model: SpectrogramModel, out: str | Path, *, reading: ReadingParams | None = None,
    batch_size: int = BATCH,
) -> str:  # fmt: skip
    """Write `<name>_denoised.mseed` for every input, below `out`; returns a sentence on what was done.

    Identifiers, start times, sampling rates and lengths are the input's, samples 4-byte floats in the input's
    unit, without its trend. A faster record is resampled to the model's rate and back, so nothing is left
    above half of it. The batch size changes speed and nothing else.

    Raises EarthSignalsError: the model is no denoiser, a path cannot be read, results would lie among the
    inputs, nothing was usable, or the disk is full.
    """
    applied, out = Applied(model, ["denoiser"]), Path(out)

    def results(batch: Sequence[Piece]) -> np.ndarray:
        return applied.denoised(batch)

    return _write_waveforms(paths, model, out, reading, batch_size, "denoised", results)


def reconstruct(
    paths: Paths, model: SpectrogramModel, out: str | Path, *, size: int | None = None, num_samples: int = 0,
    reading: ReadingParams | None = None, batch_size: int = BATCH,
) -> str:  # fmt: skip
    """Send every record through the latent and back; returns a sentence on what was done.

    Below `out`: `<name>_reconstructed.mseed`, the network's amplitudes with the input's phase;
    `reconstruction.csv`, MSE and MAE of each component for every window; and for `num_samples` windows,
    evenly chosen, `reconstruction_000.png`, … with input, output and difference.

    size: numbers of the latent that are used, the largest by default. Raises EarthSignalsError as `denoise`.
    """
    applied, out = Applied(model, AUTOENCODERS, size), Path(out)
    rows: list[dict[str, Any]] = []
    sample = EvenSample(num_samples)

    def results(batch: Sequence[Piece]) -> np.ndarray:
        found = applied.reconstructed(batch, waveforms=True)
        errors = found.errors()
        for number, piece in enumerate(batch):
            row = _place(piece)
            values = np.concatenate([each[number] for each in errors]).tolist()
            rows.append(row | dict(zip(COMPONENT_ERRORS, values, strict=True)))
            if sample.wants():
                x, y = found.x[number], found.y[number]
                sample.add(Picture.of(x, y, model.preprocessing, _title(row)))
            else:
                sample.skip()
        return found.waveforms

    done = _write_waveforms(paths, model, out, reading, batch_size, "reconstructed", results)
    write_table(out / "reconstruction.csv", rows, PLACE + COMPONENT_ERRORS)
    drawn = write_gallery(out, sample.chosen())
    pictures = f", {len(drawn)} pictures" if drawn else ""
    mean = np.mean([[row[name] for name in COMPONENT_ERRORS[:3]] for row in rows])
    return f"{done}\n{out / 'reconstruction.csv'}: {len(rows)} windows, mean MSE {mean:.5f}{pictures}"


def score(
    paths: Paths, model: SpectrogramModel, out: str | Path, *, reading: ReadingParams | None = None,
    batch_size: int = BATCH,
) -> str:  # fmt: skip
    """Write one row per window to the CSV `out`: how unlike the training earthquakes it is.

    Columns: the window's place; `mse` of the reconstruction over the three components; `mahalanobis` and
    `knn`, distances of its latent to those of the training earthquakes; `flag`, the distances that exceed
    what 99 % of those stay below ("mahalanobis", "knn", both with a +, or nothing). Windows lie side by side
    from the record's start. The thresholds are of windows that begin ten seconds before P (`params.window`):
    in continuous data a flag says "not such a window", so noise and cut-off earthquakes are flagged as well.

    Raises EarthSignalsError as `denoise`, and for a model without the training records' latents.
    """
    applied, out = Applied(model, ["bottleneck"]), Path(out)
    if "mean" not in model.reference:
        raise EarthSignalsError(
            f"{model.path or model.name} carries no latents of training records to compare with: pass the "
            "model that `dvc repro seismic-train` writes"
        )
    inputs = _open(paths, model, reading)
    _check_table(out, inputs)
    rows: list[dict[str, Any]] = []
    for batch in _batches(inputs, model, batch_size, "scores"):
        found = applied.reconstructed(batch, latents=True)
        near = {name: far(found.latents, model.reference) for name, far in DISTANCES.items()}
        for number, piece in enumerate(batch):
            distances = {name: float(values[number]) for name, values in near.items()}
            flags = [name for name, value in distances.items() if value > _threshold(model, name)]
            errors = {"mse": float(found.errors()[0][number].mean()), "flag": "+".join(flags)}
            rows.append(_place(piece) | distances | errors)
    write_table(out, rows, PLACE + SCORES)
    flagged = sum(bool(row["flag"]) for row in rows)
    refused = inputs.report(_refused_beside(out))
    return f"{out}: {len(rows)} windows of {inputs.used} records, {flagged} flagged{refused}"


def embed(
    paths: Paths, model: SpectrogramModel, out: str | Path, *, reading: ReadingParams | None = None,
    batch_size: int = BATCH, clusters: int = 8, seed: int = 0,
) -> str:  # fmt: skip
    """Write one row per window to the Parquet file `out`: its place, `cluster`, `map_1`, `map_2`, `latent`.

    `latent` is a list of L float32. Clusters are numbered from the largest, and the map is a t-SNE (of many
    windows their two principal components; the file's metadata says which); see `embeddings`. Windows lie
    side by side from the record's start.

    Raises EarthSignalsError as `denoise`.
    """
    applied, out = Applied(model, AUTOENCODERS), Path(out)
    inputs = _open(paths, model, reading)
    _check_table(out, inputs)
    rows: list[dict[str, Any]] = []
    latents = []
    for batch in _batches(inputs, model, batch_size, "embeddings"):
        latents.append(applied.latents(batch))
        rows.extend(_place(piece) for piece in batch)
    stacked = np.concatenate(latents)
    found = arrange(stacked, clusters, seed, weight=applied.weight(stacked.shape[1]))
    columns = {"cluster": found.cluster, "map_1": found.plane[:, 0], "map_2": found.plane[:, 1]}
    about = {"model": model.name, "model_md5": model.md5, "map": found.method}
    write_embeddings(out, rows, stacked, columns, about)
    refused = inputs.report(_refused_beside(out))
    return f"{out}: {len(rows)} windows of {inputs.used} records, {stacked.shape[1]} numbers each{refused}"


DISTANCES = {"mahalanobis": mahalanobis, "knn": knn}


def _threshold(model: SpectrogramModel, name: str) -> float:
    return float(model.reference[f"threshold_{name}"])


def _open(paths: Paths, model: SpectrogramModel, reading: ReadingParams | None) -> Inputs:
    return Inputs.of(paths, reading or ReadingParams(), model.preprocessing.window.sampling_rate_hz)


def _refused_beside(table: Path) -> Path:
    return table.with_name(f"{table.stem}_refused.csv")


def _check_table(out: Path, inputs: Inputs) -> None:
    check_folder(out.parent)
    check_targets([out, _refused_beside(out)], inputs.files)


def _place(piece: Piece) -> dict[str, Any]:
    growing = piece.owner
    return place(growing.recording.record, growing.recording.record.path, piece.start, piece.valid)


def _title(row: dict[str, Any]) -> str:
    return f"{row['network']}.{row['station']} {row['kind']}   {row['start'][:19].replace('T', ' ')}"


@dataclass
class _Growing:
    """A record whose windows are under way, and its result if one is joined from them."""

    recording: Recording
    result: OverlapAdd | None = None


def _batches(
    inputs: Inputs, model: SpectrogramModel, size: int, description: str, *, overlap: bool = False
) -> Iterator[list[Piece]]:
    """Windows of all records in batches across records; unless they are to be joined, only measured ones."""

    def pieces() -> Iterator[Piece]:
        for recording in inputs.recordings(description):
            layout = Layout.of(recording.record.samples, model.preprocessing, overlap=overlap)
            growing = _Growing(recording, OverlapAdd(layout) if overlap else None)
            for piece in cut(recording.record, growing, layout, model.preprocessing):
                if overlap or piece.valid[1] > piece.valid[0]:
                    yield piece

    return in_batches(pieces(), size)


def _write_waveforms(
    paths: Paths, model: SpectrogramModel, out: Path, reading: ReadingParams | None, batch_size: int,
    ending: str, results: Callable[[Sequence[Piece]], np.ndarray],
) -> str:  # fmt: skip
    """Windows → results → records → one miniSEED per source; the sentence on what was done."""
    refuse_inside(out, paths)
    inputs = _open(paths, model, reading)
    targets = {source: out / source.name.with_name(f"{source.name.name}_{ending}.mseed")
               for source in inputs.sources}  # fmt: skip
    check_folder(out)
    check_targets([*targets.values(), out / "refused.csv", out / "reconstruction.csv"], inputs.files)

    def finished() -> Iterator[tuple[Source, Recording, np.ndarray]]:
        for batch in _batches(inputs, model, batch_size, ending, overlap=True):
            for piece, window in zip(batch, results(batch), strict=True):
                growing = piece.owner
                if growing.result.add(piece.start, window):
                    yield growing.recording.source, growing.recording, growing.result.waveform

    files = 0
    for source, group in groupby(finished(), key=lambda each: each[0]):
        made = []
        for _, recording, waveform in group:
            made.extend(traces(recording.native, recording.at_native_rate(waveform)))
        write_miniseed(targets[source], made)
        files += 1
    refused = inputs.report(out / "refused.csv")
    return f"{out}: {files} files with {inputs.used} records {ending}{refused}"
