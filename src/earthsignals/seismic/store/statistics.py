"""What the training split looks like, in numbers; nothing here has seen a held-out record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

_QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def training_statistics(metadata: pd.DataFrame) -> dict[str, Any]:
    """Counts and quantiles (5, 25, 50, 75, 95 %) over the rows of `metadata` whose split is "train".

    `kinds` holds, per instrument kind, the records and the quantiles of their peak and root mean square
    amplitude, in the records' units; `snr_db`, `magnitude` and `distance_km` are of earthquakes.
    """
    rows = metadata[metadata["split"] == "train"]
    events = rows[rows["trace_category"] == "earthquake"]
    return {
        "split": "train",
        "records": len(rows),
        "earthquakes": len(events),
        "noise": len(rows) - len(events),
        "events": events["source_id"][events["source_id"] != ""].nunique(),
        "stations": len(rows[["station_network_code", "station_code"]].drop_duplicates()),
        "snr_db": quantiles(events["trace_snr_db"]),
        "magnitude": quantiles(events["source_magnitude"]),
        "distance_km": quantiles(events["path_ep_distance_km"]),
        "kinds": {
            str(kind): {
                "records": len(part),
                "peak": quantiles(part["trace_peak"]),
                "rms": quantiles(part["trace_rms"]),
            }
            for kind, part in rows.groupby("trace_channel", sort=True)
        },
    }


def quantiles(values: Sequence[float] | pd.Series) -> dict[str, float]:
    """Quantiles of the finite values, to six digits; empty where there are none."""
    finite = pd.Series(values, dtype=float).dropna()
    if finite.empty:
        return {}
    return {name: float(f"{finite.quantile(q):.6g}") for name, q in _QUANTILES.items()}
