"""The first table: each system's headline beside its best simple rival and the limit it is judged by."""

from __future__ import annotations

from earthsignals.publication.numbers import Results
from earthsignals.publication.tables.drift import RIVALS, best_rival
from earthsignals.publication.tables.model import DASH, Cell, Table, number

_TDLAS, _PLUME, _SEISMIC, _CLOUDS, _SUPERDARN = (
    f"reports/{room}/metrics.json" for room in ("tdlas", "plume", "seismic", "clouds", "superdarn")
)


def overview(results: Results) -> Table:
    """One or two rows for each pipeline; smaller is better where the arrow points down."""

    def shown(file: str, key: str, style: str, bold: bool = False) -> Cell:
        return number(results, file, key, style, bold=bold, needed=True)

    rival = best_rival(results, _SUPERDARN)
    rows = [
        [
            Cell("laser scans"), Cell("RMSE over the bound, mid-range ↓"),
            shown(_TDLAS, "scores.model.1e2-1e3.rmse_over_crlb", "fixed 2", True),
            shown(_TDLAS, "scores.ridge.1e2-1e3.rmse_over_crlb", "fixed 2"), Cell("ridge"),
            Cell("1"), Cell("Cramér–Rao bound"),
        ],
        [
            Cell("plumes"), Cell("tile F1 on unseen days ↑"),
            shown(_PLUME, "tile_f1", "fixed 2", True),
            shown(_PLUME, f"tiles.methods.{results.value(_PLUME, 'best_baseline')}.f1", "fixed 2"),
            Cell({"zscore": "z-score"}.get(results.value(_PLUME, "best_baseline"), "threshold")),
            Cell(DASH), Cell("none known"),
        ],
        [
            Cell("earthquakes"), Cell("MSE × 1,000 through 32 numbers ↓"),
            shown(_SEISMIC, "mse.32.model", "thousandths 2", True),
            shown(_SEISMIC, "mse.32.pca", "thousandths 2"), Cell("PCA"),
            shown(_SEISMIC, "mse_floor", "thousandths 2"), Cell("speckle"),
        ],
        [
            Cell(""), Cell("denoising gain at 0 dB, in dB ↑"),
            shown(_SEISMIC, "denoise_gain_db_at_0", "fixed 1", True),
            shown(_SEISMIC, "denoise.best_bandpass.gain_db_at_0", "fixed 1"), Cell("band-pass"),
            shown(_SEISMIC, "denoise.oracle.gain_db_at_0", "fixed 1"), Cell("oracle mask"),
        ],
        [
            Cell("clouds"), Cell("mAP of retrieval across scenes ↑"),
            shown(_CLOUDS, "map", "fixed 2", True), shown(_CLOUDS, "map_best_baseline", "fixed 2"),
            Cell({"organisation": "metrics"}.get(results.value(_CLOUDS, "best_baseline.map"), "best row")),
            Cell("1"), Cell("perfect retrieval"),
        ],
        [
            Cell("drift"), Cell("RMSE at 30 minutes, in m/s ↓"),
            shown(_SUPERDARN, "rmse_m_s.model.30", "fixed 0", True),
            shown(_SUPERDARN, f"rmse_m_s.{rival}.30", "fixed 0"), Cell(RIVALS[rival]),
            Cell(DASH), Cell("none known"),
        ],
    ]  # fmt: skip
    return Table(
        head=["system", "judged by", "ours", "best simple rival", "", "limit", ""],
        rows=rows,
        align="llrrlrl",
        rules=(1, 2, 4, 5),
    )
