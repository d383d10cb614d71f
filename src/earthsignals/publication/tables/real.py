"""What is left on data that nobody simulated: the network beside the best simple rival there."""

from __future__ import annotations

from earthsignals.publication.numbers import Results
from earthsignals.publication.tables.drift import RIVALS, best_rival
from earthsignals.publication.tables.model import Cell, Table, number

_TDLAS, _PLUME, _SEISMIC, _CLOUDS, _SUPERDARN = (
    f"reports/{room}/real.json" for room in ("tdlas", "plume", "seismic", "clouds", "superdarn")
)


def real(results: Results) -> Table:
    """One or two rows for each pipeline."""

    def shown(file: str, key: str, style: str, bold: bool = False) -> Cell:
        return number(results, file, key, style, bold=bold, needed=True)

    row_of = results.value(_CLOUDS, "probe_best_baseline_name")
    rival = best_rival(results, _SUPERDARN)
    rows = [
        [Cell("scans simulated with all lines known"), Cell("RMSE over the bound, top decade ↓"),
         shown(_TDLAS, "rmse_over_crlb.1e4-5e4", "fixed 1", True), Cell("–"), Cell("")],
        [Cell("airborne chips"), Cell("pixel F1, frozen thresholds ↑"),
         shown(_PLUME, "pixels.model.f1", "fixed 2", True), shown(_PLUME, "pixels.zscore.f1", "fixed 2"),
         Cell("z-score")],
        [Cell("seismograms"), Cell("MSE × 1,000 through 32 numbers ↓"),
         shown(_SEISMIC, "mse.32.model", "thousandths 2", True),
         shown(_SEISMIC, "mse.32.pca", "thousandths 2"), Cell("PCA")],
        [Cell(""), Cell("denoising gain at 0 dB, in dB ↑"),
         shown(_SEISMIC, "denoise.model.gain_db_at_0", "fixed 1", True),
         shown(_SEISMIC, "denoise.wiener.gain_db_at_0", "fixed 1"), Cell("Wiener filter")],
        [Cell(""), Cell("AUC, earthquake or noise ↑"),
         shown(_SEISMIC, "auc_latent", "fixed 3", True), shown(_SEISMIC, "auc_sta_lta", "fixed 3"),
         Cell("STA/LTA")],
        [Cell("labelled MODIS scenes"), Cell("probe of the label ↑"),
         shown(_CLOUDS, "probe", "fixed 2", True), shown(_CLOUDS, f"rows.{row_of}.probe", "fixed 2"),
         Cell(row_of)],
        [Cell("a day of radars"), Cell("RMSE at 30 minutes, in m/s ↓"),
         shown(_SUPERDARN, "rmse_m_s.model.30", "fixed 0", True),
         shown(_SUPERDARN, f"rmse_m_s.{rival}.30", "fixed 0"), Cell(RIVALS[rival])],
    ]  # fmt: skip
    return Table(
        head=["never trained on", "judged by", "ours", "best simple rival", ""], rows=rows, align="llrrl",
        rules=(1, 2, 5, 6),
    )  # fmt: skip
