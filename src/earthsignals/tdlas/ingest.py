"""Measured or foreign scans brought into the dataset's form (docs/tdlas-scans.md gives the schema).

Existing splits are respected; missing ones are made by group, so that scans of one series never stand
on both sides. Signals are scaled so that the mean training trace has median 1, the unit in which the
simulated scans and `tdlas.instrument` are given. Memory holds a few thousand scans at any time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox
from earthsignals.tdlas.dataset import SPLITS, ScansError, rebuild_parameters, writing
from earthsignals.tdlas.foreign import ForeignScans, read_foreign
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams

AXIS_SLACK = 0.02  # cm-1 by which an axis may leave the declared window
GAS_SLACK = 1e-6


def ingest(
    source: Path, params: TdlasParams, lines: LineList, out: Path
) -> dict[str, int]:
    """Write the scans of `source` as a dataset at `out`; returns counts of read and dropped scans.

    Scans without T or P are dropped and counted; saturated and non-finite ones are kept and flagged
    when read. Raises ScansError naming file, fault and remedy.
    """
    scans = read_foreign(Path(source), params)
    known = np.isfinite(scans.temperature_k) & np.isfinite(scans.pressure_atm)
    if not known.any():
        raise ScansError(f"{source}: no scan has both T and P; the model needs them for every scan.")
    _check_axis(scans, params)
    _check_units(scans, known)
    _check_ranges(scans, known, params)
    split = _split(scans, known, params)
    _write(scans, known, split, known & (split == SPLITS["train"]), 1.0, params, lines, out)
    return {
        "scans read": len(scans),
        "scans without T or P dropped": int((~known).sum()),
        "scans without mole fraction": int(np.isnan(scans.mole_fraction[known]).sum()),
    }


def ingest_for_prediction(
    source: Path, params: TdlasParams, lines: LineList, out: Path, level: float
) -> None:
    """Write all scans of `source`, row for row, for a trained model: nothing is dropped or split.

    level: the median of the mean trace that the model was trained at; the scans are scaled to it.
    Conditions outside the trained ranges are the prediction's to flag.
    """
    scans = read_foreign(Path(source), params)
    _check_axis(scans, params)
    every = np.ones(len(scans), bool)
    _check_units(scans, every)
    split = np.full(len(scans), SPLITS["test"], dtype=np.uint8)
    _write(scans, every, split, every, level, params, lines, out)


def _write(
    scans: ForeignScans, kept: np.ndarray, split: np.ndarray, reference: np.ndarray, level: float,
    params: TdlasParams, lines: LineList, out: Path,
) -> None:  # fmt: skip
    """Write the scans `kept` (N,), scaled so that the mean of the scans `reference` has median `level`."""
    whole = scans.integer and scans.largest <= 65_535
    with writing(
        out, int(kept.sum()), np.round(scans.nu, 9), scans.time, dtype="u2" if whole else "f4",
        scale=level / _median_level(scans, reference), full_scale=scans.full_scale,
        attributes={
            "source": "measured", "window": (params.lines.window_low, params.lines.window_high),
            "path_cm": _path(scans, params), "lines_sha256": lines.sha256(),
            "lines_edition": lines.edition, "seed": params.dataset.seed,
            "params": rebuild_parameters(params),
        },
    ) as file, progress("reading scans", len(scans), "scans") as bar:  # fmt: skip
        read = written = 0
        for batch in scans.batches():
            rows = batch[kept[read : read + len(batch)]]
            file["I_t"][written : written + len(rows)] = rows
            read, written = read + len(batch), written + len(rows)
            bar.advance(len(batch))
        columns = {
            "T": scans.temperature_k, "P": scans.pressure_atm, "xi": scans.mole_fraction,
            "split": split,
        }  # fmt: skip
        for name, values in columns.items():
            file[name][:] = values[kept]


def _check_axis(scans: ForeignScans, params: TdlasParams) -> None:
    nu, low, high = scans.nu, params.lines.window_low, params.lines.window_high
    if not np.isfinite(nu).all():
        raise ScansError(f"{scans.where}: the wavenumber axis holds NaN; give one value per sample.")
    if len(nu) < 32:
        raise ScansError(f"{scans.where}: {len(nu)} samples per scan; at least 32 are needed.")
    if nu.min() < low - AXIS_SLACK or nu.max() > high + AXIS_SLACK:
        raise ScansError(
            f"{scans.where}: the wavenumber axis runs from {nu.min():.3f} to {nu.max():.3f} cm-1, "
            f"outside the declared window {low:g} .. {high:g}; set tdlas.lines.window_low and "
            "window_high to the scan's own."
        )
    turns = int((np.diff(np.sign(np.diff(nu))[np.diff(nu) != 0]) != 0).sum())
    if turns > 1:
        raise ScansError(
            f"{scans.where}: the wavenumber axis turns {turns} times; expected one sweep, or one down and "
            "up. Cut the record into single scans."
        )


def _check_units(scans: ForeignScans, kept: np.ndarray) -> None:
    """Catch wrong units by their size."""
    where = scans.where
    t, p, x = (
        values[kept & np.isfinite(values)]
        for values in (scans.temperature_k, scans.pressure_atm, scans.mole_fraction)
    )
    if len(t) and t.min() < 100:
        raise ScansError(
            f"{where}: T reaches {t.min():g}, expected kelvin; add 273.15 if it is in Celsius."
        )
    if len(p) and (p.max() > 20 or p.min() <= 0):
        raise ScansError(
            f"{where}: P runs from {p.min():g} to {p.max():g}, expected atm; divide by 1013.25 if it is in "
            "hPa, by 760 if it is in Torr."
        )
    if len(x) and (x.max() > 1 or x.min() < 0):
        raise ScansError(
            f"{where}: xi runs from {x.min():g} to {x.max():g}, expected a mole fraction between 0 and "
            "1; name the column xi_ppm (CSV: mole_fraction_ppm) if it is in ppm."
        )


def _check_ranges(scans: ForeignScans, known: np.ndarray, params: TdlasParams) -> None:
    """Refuse conditions outside the declared ranges: the forward model is built on these."""
    where, gas = scans.where, params.gas
    t, p = scans.temperature_k[known], scans.pressure_atm[known]
    x = scans.mole_fraction[known & np.isfinite(scans.mole_fraction)]
    limits = {
        "temperature_k": (t, gas.temperature_k), "pressure_atm": (p, gas.pressure_atm),
        "mole_fraction_ppm": (x * 1e6, gas.mole_fraction_ppm),
    }  # fmt: skip
    for name, (values, declared) in limits.items():
        slack = GAS_SLACK * declared.high
        low = declared.low if name != "mole_fraction_ppm" else 0.0  # blanks are welcome
        if len(values) and (values.min() < low - slack or values.max() > declared.high + slack):
            raise ScansError(
                f"{where}: {name} runs from {values.min():g} to {values.max():g}, outside the declared "
                f"{declared.low:g} .. {declared.high:g}; widen tdlas.gas.{name} to cover the scans."
            )


def _path(scans: ForeignScans, params: TdlasParams) -> float:
    declared = params.gas.path_cm
    if scans.path_cm is not None and abs(scans.path_cm - declared) > 1e-6 * declared:
        raise ScansError(
            f"{scans.where}: path_cm is {scans.path_cm:g}, tdlas.gas.path_cm is {declared:g}; set the "
            "parameter to the path of the scans."
        )
    return declared


def _split(scans: ForeignScans, known: np.ndarray, params: TdlasParams) -> np.ndarray:
    """Split codes (N,): the file's own, completed or made by group."""
    test, validation = params.dataset.test_fraction, params.dataset.validation_fraction
    group = np.arange(len(scans)) if scans.group is None else scans.group
    if scans.split is None:
        split = np.full(len(scans), SPLITS["train"], dtype=np.uint8)
        _move(split, group, known, test, "test", params)
    else:
        split = scans.split.astype(np.uint8).copy()
    present = set(split[known].tolist())
    if not {SPLITS["train"], SPLITS["test"]} <= present:
        raise ScansError(
            f"{scans.where}: the split column has no {'train' if 0 not in present else 'test'} scans; "
            "give both (validation is taken from train if it is missing), or leave the column out."
        )
    if SPLITS["validation"] not in present:
        _move(split, group, known & (split == SPLITS["train"]), validation, "validation", params)
    return split


def _move(
    split: np.ndarray, group: np.ndarray, pool: np.ndarray, fraction: float, to: str,
    params: TdlasParams,
) -> None:  # fmt: skip
    """Move whole groups of the scans `pool` to a split until it holds `fraction` of them."""
    labels, sizes = np.unique(group[pool], return_counts=True)
    if len(labels) < 2:
        raise ScansError(
            f"all scans belong to one group ({labels[:1]}), so no {to} split can be made without its "
            "scans standing on both sides; add a split column or finer groups."
        )
    order = philox(params.dataset.seed, f"group-split-{to}", 0).permutation(len(labels))
    wanted = max(1, round(fraction * pool.sum()))
    taken = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    chosen = labels[order[: min(taken, len(labels) - 1)]]
    split[pool & np.isin(group, chosen)] = SPLITS[to]


def _median_level(scans: ForeignScans, reference: np.ndarray) -> float:
    """Median over the axis of the mean trace of the scans `reference` (N,), in stored units."""
    total, count, read = np.zeros(len(scans.nu)), 0, 0
    for batch in scans.batches():
        rows = batch[reference[read : read + len(batch)]].astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        total, count, read = total + rows.sum(axis=0), count + len(rows), read + len(batch)
    level = float(np.median(total / max(count, 1)))
    if not level > 0:
        raise ScansError(
            f"{scans.where}: the mean trace has median {level:g}; expected detector signals that grow with "
            "the light (absorbances are no signals: give exp(-absorbance))."
        )
    return level
