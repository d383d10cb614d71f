"""From a table of pairs to metrics for JSON and arrays for the figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from earthsignals.bootstrap import LEVEL, number
from earthsignals.superdarn.judging.breakdown import Binned, binned
from earthsignals.superdarn.judging.pairs import MODEL, QUIET, STORM, Table
from earthsignals.superdarn.judging.skill import CLIMATOLOGY, DAMPED, Blocks, Sums, with_fallback
from earthsignals.superdarn.params import EvaluateParams, GridParams

MAP_LEAD_MINUTES = 30
ENDS = ("", "_low", "_high")

Metrics = dict[str, Any]
Arrays = dict[str, np.ndarray]


def report(table: Table, evaluate: EvaluateParams, grid: GridParams) -> tuple[Metrics, Arrays]:
    """All that is told of the vectors in the table; lead times are keys, in minutes ("10").

    Headline numbers are of the vectors whose radar saw the cell at the time of issue, which every method
    predicts; `all_vectors` holds those of all. `acc` is by method at the top, and the model's alone in
    parts of the vectors and by place. What nothing is known of is null.
    """
    blocks = Blocks.of(table, evaluate.bootstrap, evaluate.seed)
    sums = Sums.of(table, blocks, table.paired, table.predictions)
    bins = binned(table, table.paired, (MODEL, DAMPED), grid.latitude_min)
    metrics, arrays = headline(table, sums)
    for name, kind in (("quiet", QUIET), ("storm", STORM)):
        chosen = table.paired & (table.storm == kind)
        part = Sums.of(table, blocks, chosen, table.predictions)
        metrics[name] = _part(table, part) | {"issues": len(np.unique(table.issue[table.storm == kind]))}
        for key, values in (
            ("skill", part.skill(MODEL, DAMPED)), ("acc", part.anomaly_correlation(MODEL)),
        ):  # fmt: skip
            arrays |= {f"{name}/{key}{end}": values[:, i] for i, end in enumerate(ENDS)}
        arrays[f"{name}/count"] = part.vectors.astype(np.int64)
    metrics["all_vectors"] = _part(
        table, Sums.of(table, blocks, np.ones(len(table), bool), with_fallback(table))
    )
    places, drawn = by_place(table, bins)
    metrics |= places | {
        "level": LEVEL, "blocks": len(blocks.names), "issues": len(np.unique(table.issue)),
        "vectors_seen_for_the_first_time": _by_lead(
            table, np.bincount(table.lead[~table.paired], minlength=len(table.leads_minutes))
        ),
    }  # fmt: skip
    return metrics, arrays | drawn


def headline(table: Table, sums: Sums) -> tuple[Metrics, Arrays]:
    """RMSE, skill against each reference, and anomaly correlation, by lead."""
    metrics: Metrics = {"vectors": _by_lead(table, sums.vectors.astype(np.int64))}
    arrays: Arrays = {"leads": np.array(table.leads_minutes, np.int64)}
    for method in sums.methods:
        rmse = sums.rmse(method)
        for i, end in enumerate(ENDS):
            metrics.setdefault(f"rmse_m_s{end}", {})[method] = _by_lead(table, rmse[:, i])
            arrays[f"rmse{end}/{method}"] = rmse[:, i]
    for reference in sums.methods:
        if reference == MODEL:
            continue
        skill = sums.skill(MODEL, reference)
        for i, end in enumerate(ENDS):
            metrics[f"skill_vs_{reference}{end}"] = _by_lead(table, skill[:, i])
            arrays[f"skill_{reference}{end}"] = skill[:, i]
    # Neither the climatology nor zero foretells an anomaly that could correlate.
    foretelling = [name for name in sums.methods if name not in (CLIMATOLOGY, "zero")]
    correlations = {name: sums.anomaly_correlation(name) for name in foretelling}
    for i, end in enumerate(ENDS):
        metrics[f"acc{end}"] = {name: _by_lead(table, acc[:, i]) for name, acc in correlations.items()}
        arrays[f"acc{end}"] = correlations[MODEL][:, i]
    return metrics, arrays


def by_place(table: Table, bins: Binned) -> tuple[Metrics, Arrays]:
    """Skill over damped persistence and anomaly correlation by magnetic latitude, local time, and both."""
    leads = np.array(table.leads_minutes)
    chosen = int(np.argmin(np.abs(leads - MAP_LEAD_MINUTES)))
    metrics: Metrics = {}
    arrays: Arrays = {
        "map/skill": bins.skill(MODEL, DAMPED)[chosen], "map/count": bins.count[chosen],
        "map/acc": bins.anomaly_correlation(MODEL)[chosen], "map/lead": leads[chosen],
    }  # fmt: skip
    for name, edges, other in (("by_mlat", bins.mlat_edges, 2), ("by_mlt", bins.mlt_edges, 1)):
        skill, count = bins.skill(MODEL, DAMPED, (other,)), bins.count.sum(other)
        acc = bins.anomaly_correlation(MODEL, (other,))
        metrics[name] = {
            "edges": edges.tolist(), "vectors": _by_lead(table, count),
            "skill_vs_damped": _by_lead(table, skill), "acc": _by_lead(table, acc),
            "rmse_m_s": {
                method: _by_lead(table, bins.rmse(method, (other,))) for method in (MODEL, DAMPED)
            },
        }  # fmt: skip
        arrays |= {f"{name}/edges": edges, f"{name}/skill": skill, f"{name}/acc": acc}
        arrays[f"{name}/count"] = count
    return metrics, arrays


def _part(table: Table, sums: Sums) -> Metrics:
    """What is told of every subset of the vectors."""
    scores = {"skill_vs_damped": sums.skill(MODEL, DAMPED), "acc": sums.anomaly_correlation(MODEL)}
    found: Metrics = {
        f"{key}{end}": _by_lead(table, values[:, i])
        for key, values in scores.items() for i, end in enumerate(ENDS)
    }  # fmt: skip
    found["rmse_m_s"] = {method: _by_lead(table, sums.rmse(method)[:, 0]) for method in sums.methods}
    return found | {"vectors": _by_lead(table, sums.vectors.astype(np.int64))}


def _by_lead(table: Table, values: np.ndarray) -> dict[str, Any]:
    return by_lead(table.leads_minutes, values)


def by_lead(leads_minutes: tuple[int, ...], values: np.ndarray) -> dict[str, Any]:
    """Values (L, ...) by lead in minutes; null for what is not finite."""
    return {str(lead): _plain(value) for lead, value in zip(leads_minutes, values, strict=True)}


def _plain(value: np.ndarray) -> Any:
    if np.ndim(value):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, np.integer) else number(value)
