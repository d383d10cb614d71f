"""Which simple forecast of the drift is the one to beat."""

from __future__ import annotations

from earthsignals.publication.numbers import Results

RIVALS = {
    "damped": "damped persistence",
    "damped_anomaly": "damped anomaly",
    "persistence": "persistence",
    "climatology": "climatology",
}


def best_rival(results: Results, file: str, lead: int = 30) -> str:
    """The rival with the smallest RMSE `lead` minutes ahead."""
    return min(RIVALS, key=lambda name: results.value(file, f"rmse_m_s.{name}.{lead}"))
