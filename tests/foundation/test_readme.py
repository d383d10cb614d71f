"""The numbers in README.md are those that runs wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.cli.main import app
from earthsignals.cli.readme import changed_sections, render
from earthsignals.publication.sections import SECTIONS
from earthsignals.storage import EarthSignalsError

ROOT = Path(__file__).resolve().parents[2]
METRICS = "reports/tdlas/metrics.json"
GENERATE = "reports/benchmarks/tdlas_generate.json"
PREDICT = "reports/benchmarks/tdlas_predict.json"
PLUME = "reports/plume/metrics.json"
DENSE = "reports/benchmarks/plume_dense.json"
REAL = "reports/plume/real.json"
SEISMIC = "reports/seismic/metrics.json"
SEISMIC_REAL = "reports/seismic/real.json"
FEED = "reports/benchmarks/seismic_feed.json"
CLOUDS = "reports/clouds/metrics.json"
CLOUDS_REAL = "reports/clouds/real.json"
CLOUDS_EMBED = "reports/benchmarks/clouds_embed.json"
SUPERDARN = "reports/superdarn/metrics.json"
SUPERDARN_REAL = "reports/superdarn/real.json"
POTENTIAL = "reports/benchmarks/superdarn_potential.json"
TRANSPORT = "reports/benchmarks/transport.json"
CLAIMS = "reports/claims.json"


def score(ratio: float) -> dict[str, float]:
    return {
        "rmse_over_crlb": ratio, "rmse_over_crlb_low": 0.9 * ratio, "rmse_over_crlb_high": 1.1 * ratio,
        "rmse_ppm": 4 * ratio, "relative_error": 0.0123,
    }  # fmt: skip


def sources() -> dict[str, dict]:
    """What runs might have written."""
    case = {
        m: {"all": {"rmse_over_crlb": r}} for m, r in (("model", 5.0), ("ridge", 8.0), ("pls", 9.0))
    }
    worse = {
        m: {"all": {"rmse_over_crlb": r}} for m, r in (("model", 7.5), ("ridge", 6.0), ("pls", 9.5))
    }
    return {
        METRICS: {
            "scores": {
                "model": {"1e2-1e3": score(1.0), "1e4-5e4": score(2.0)},
                "least_squares": {"1e2-1e3": score(1.01)},
                "course": {"1e2-1e3": score(150.0), "1e4-5e4": score(9.0)},
            },
            "test_scans": 4800, "coverage_95_by_decade": {"1e2-1e3": 0.95, "1e4-5e4": 0.941},
            "onnx_max_rel_diff": 6e-8, "stress": {"P +1 %": case, "P -1 %": worse},
        },
        GENERATE: {
            "seconds_per_million": 102.3, "scans_per_s": 9777.5, "peak_gb": 0.331, "max_rel_error": 1.7e-6,
            "speedup_vs_hapi_full": 1947.4, "speedup_vs_hapi_embedded": 221.8,
            "machine": {"machine.cpu": "AMD EPYC", "machine.cores": "2"},
        },
        PREDICT: {
            "speedup_vs_least_squares": 812.0, "latency_ms": {"least squares": 21.5, "network": 0.0265},
            "machine": {"cpu": "AMD EPYC", "cores": "2"},
        },
        PLUME: plume_metrics(),
        DENSE: {
            "max_abs_dp": 9e-7, "max_abs_dlogit": 5e-6, "peak_gb": 0.49, "speedup_w64": 515.2,
            "speedup_w256": 2955.0, "seconds_w64": 2.31, "seconds_w256": 7.8,
            "machine": {"cpu": "AMD EPYC", "cores": "2"},
            "table": [
                {"model": "plumenet-64", "mode": "dense", "device": "-1", "batch": None, "seconds": 2.31,
                 "measured_lines": 2801, "peak_gb": 0.36},
                {"model": "googlenet-256", "mode": "sliding", "device": "-1", "batch": 32,
                 "seconds": 64800.0, "measured_lines": 1, "peak_gb": 1.2},
            ],
        },
        REAL: {
            "chips": ["a", "b"], "chips_with_plume": 1,
            "oracle_threshold": {"f1": 0.62, "threshold_ppm_m": 1900.0},
            "pixels": {
                "model": {"f1": 0.09, "auprc": 0.9, "recall": 1.0, "precision": 0.05},
                "zscore": {"f1": 0.11, "auprc": 0.89},
            },
        },
        SEISMIC: seismic_metrics(),
        SEISMIC_REAL: seismic_metrics() | {
            "kinds": {"HH": 40, "HN": 39}, "refused": {"gap": 2},
            "auc_by_noise": {"recorded": {"noise_records": 25, "auc_latent": 0.992, "auc_sta_lta": 0.9971}},
        },
        FEED: {
            "speedup_vs_seed": 27.9, "speedup_vs_seed_normalised": 11.94, "train_batches_per_s": 4.83,
            "pack_files_per_s": 371.4, "machine": {"cpu": "AMD EPYC", "cores": "2"},
        },
        CLOUDS: clouds_metrics(),
        CLOUDS_REAL: {
            "scenes": 3, "boxes": 11, "tiles": 220, "classes": ["Fish", "Flower"],
            "classes_in_one_scene": {"Sugar": 1}, "probe_majority": 0.55, "probe_p": 0.16,
            "relabellings": 208, "says": "11 rectangles prove little",
            "rows": {"model": clouds_row(0.45), "spectrum": clouds_row(0.41)},
        },
        CLOUDS_EMBED: {
            "speedup": 52.4, "speedup_half_width": 10.4, "speedup_full_width": 12.0, "images_per_s": 1890.0,
            "max_abs_diff": 8e-6, "machine": {"cpu": "AMD EPYC", "cores": "2"},
        },
        SUPERDARN: superdarn_metrics(),
        SUPERDARN_REAL: superdarn_metrics() | {
            "days": [{"day": "2015-03-01", "hemisphere": "north", "radars": 20, "grid_vectors": 397_738}],
            "ingest": {"files": 30, "refused": [{"file": "old.grd", "reason": "ASCII"}]},
        },
        POTENTIAL: {
            "speedup_vs_pydarn": 431.2, "max_rel_error": 3e-7, "machine": {"cpu": "AMD EPYC", "cores": "2"},
        },
        CLAIMS: {"claims": [
            claimed("plume", "not measured", ours=False), claimed("plume", "better", ours=False),
            claimed("plume", "reproduced", ours=True), claimed("clouds", "not reproduced", ours=True),
        ]},
        TRANSPORT: {
            "megabytes": 1024, "dvc_start_s": 0.83, "machine": {"cpu": "AMD EPYC", "cores": "2"},
            "rows": [
                transfer("loopback", "push", 4, 1024.0, "dvc", 11.0, 0.91),
                transfer("loopback", "push", 4, 1024.0, "dvc in tunnel", 20.0, 0.5),
                transfer("loopback", "push", 4, 1024.0, "rsync", 10.0, 1.0),
                transfer("loopback", "push", 1000, 16.0, "dvc", 9.5, 0.1),
                transfer("loopback", "push", 4, 16.0, "dvc", 1.5, 0.7),
            ],
        },
    }  # fmt: skip


def claimed(pipeline: str, verdict: str, *, ours: bool) -> dict:
    """A row of reports/claims.json."""
    return {"pipeline": pipeline, "verdict": verdict, "ours": ours, "claim": f"a claim of {pipeline}",
            "measured": 0.7969, "expected": ">= 0.8", "unit": ""}  # fmt: skip


def transfer(
    link: str, direction: str, files: int, mb: float, tool: str, seconds: float, ratio: float
) -> dict:
    """A row of benchmarks/transport.py."""
    return {"link": link, "way": "ssh", "direction": direction, "files": files, "mb": mb, "tool": tool,
            "seconds": seconds, "mb_per_s": mb / seconds, "ratio": ratio}  # fmt: skip


def clouds_row(probe: float) -> dict[str, float | None]:
    names = ("probe", "map", "purity", "nmi", "triplet_accuracy", "r2_log_scale")
    ends = {"": 1.0, "_low": 0.9, "_high": 1.1}
    known = {name + end: probe * f for name in names for end, f in ends.items()}
    return known | {"features": 32, "same_class_triplet_accuracy": None}


def clouds_metrics() -> dict:
    return {
        "tiles": 1500, "scenes": 120, "rows": {"model": clouds_row(0.9), "organisation": clouds_row(0.8)},
        "effective_rank": 15.04, "probe_minus_best_baseline": 0.1, "probe_minus_best_baseline_low": -0.1,
        "probe_minus_best_baseline_high": 0.3, "map_minus_best_baseline": 0.2,
        "map_minus_best_baseline_low": 0.15, "map_minus_best_baseline_high": 0.25,
    }  # fmt: skip


def superdarn_metrics() -> dict:
    leads = {"10": 0.14, "30": 0.11, "60": -0.02}
    rmse = {name: {lead: 160.0 + 10 * n for lead in leads} for n, name in enumerate(("model", "damped"))}
    return {
        "vectors": dict.fromkeys(leads, 49_305), "issues": 300, "blocks": 12, "coverage": 0.088, "radars": 20,
        "rmse_m_s": rmse, "rmse_m_s_low": rmse, "rmse_m_s_high": rmse, "skill_vs_damped": leads,
        "skill_vs_damped_low": {lead: value - 0.05 for lead, value in leads.items()},
        "skill_vs_damped_high": {lead: value + 0.05 for lead, value in leads.items()},
        "skill_vs_persistence": {lead: value + 0.2 for lead, value in leads.items()},
        "quiet": {"skill_vs_damped": leads}, "storm": {"skill_vs_damped": leads},
    }  # fmt: skip


def seismic_metrics() -> dict:
    def around(**values: float) -> dict[str, float]:
        ends = {"": 1.0, "_low": 0.9, "_high": 1.1}
        return {name + end: value * f for name, value in values.items() for end, f in ends.items()}

    size = around(model=0.0042, pca=0.0043, patch_pca=0.0052, model_minus_pca=-0.0001)
    plain = around(mse_seed=0.0045, mae_seed=0.05, mse_zero=0.06, mae_zero=0.15, mse_mean=0.02, mae_mean=0.1)
    return {
        "earthquakes": 1200, "noise_records": 300, "stations": 36, "mse": {"32": size, "128": size},
        **around(mse_zero=0.138, mse_mean=0.037, mse_floor=0.0038, auc_latent=0.995, auc_sta_lta=0.96),
        **around(auc_reconstruction_error=0.4, auc_anomaly_mahalanobis=0.9),
        "anomaly": {"mean_reconstruction_error": 0.63},
        "denoise": {"records": 300, "model": around(gain_db_at_0=13.3, correlation_at_0=0.96)},
        "seed": plain | {"numbers": 16128},
    }  # fmt: skip


def plume_metrics() -> dict:
    def around(**values: float) -> dict[str, float]:
        ends = {"": 0.0, "_low": -0.1, "_high": 0.1}
        return {name + end: value + d for name, value in values.items() for end, d in ends.items()}

    tiles = around(f1=0.885, auprc=0.95, precision=0.93, recall=0.84, false_positive_rate_neg=0.15)
    rate = {"kg_h_50": 112.4, "wind_m_s": 4.0}
    return {
        "tiles": {
            "methods": {"model": tiles, "a-new-peer": tiles},
            "test": {"tiles": 2560, "pos": 760, "neg": 600, "bg": 1200, "flightlines": 15},
        },
        "pixels": {"model": around(iou=0.6, f1=0.75), "zscore": around(iou=0.45, f1=0.6)},
        "plumes": {"model": around(detected_share=0.83, false_alarms_per_km2=0.2) | {"rates": [rate]}},
        "rates": {
            "plumes": 42, "wind_error": 0.25, "median_absolute_error": 0.236,
            "without_rate": {"merged_with_another": 26},
        },
        **around(rate_bias=0.07, rate_coverage_68=0.7, rate_coverage_95=0.9),
    }  # fmt: skip


def blank() -> str:
    """A README with every section, empty."""
    return "".join(f"text\n<!-- {name} -->\n<!-- /{name} -->\n" for name in SECTIONS)


def committed(path: str) -> str | None:
    """A file as the last commit holds it, or None. The working tree may have been reproduced since."""
    done = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    return done.stdout if done.returncode == 0 else None


def test_the_committed_readme_holds_the_committed_numbers() -> None:
    text = committed("README.md")
    if text is None:
        pytest.skip("no commit of this checkout holds README.md")
    files = {path: committed(path) for path in {file for file, _ in SECTIONS.values()}}
    if not any(files.values()):
        pytest.skip(f"no commit holds {' or '.join(sorted(files))}")
    new, _ = render(text, lambda path: json.loads(files[path]) if files[path] else None)
    assert changed_sections(text, new) == [], "run `earthsignals readme` and commit README.md"


def test_sections_state_the_numbers_with_intervals_and_machine() -> None:
    text, absent = render(blank(), sources().get)
    assert absent == {}
    assert "| **network** | 1.00 (0.90–1.10) | 2.00 (1.80–2.20) |" in text
    assert "| least squares | 1.01 (0.91–1.11) | – |" in text  # it fitted no scan of the top decade
    assert "| course CNN | 150 (135–165) | 9.00 (8.10–9.90) |" in text
    assert (
        "| RMSE (ppm) | 4.00 | 8.00 |" in text and "| 95 % interval holds | 95 % | 94.1 % |" in text
    )
    assert "4,800 test scans" in text and "| 100–1,000 | 10,000–50,000 |" in text
    # Of two directions the worse one stands there, for each method.
    assert "| P wrong by 1 % | 7.5 | 8.0 | 9.5 |" in text
    assert "1.7 minutes (9,778 scans/s" in text and "1,947 times" in text and "1.7e-06" in text
    assert "812 times" in text and "| least squares | 21.5 |" in text
    assert text.count("Measured on: AMD EPYC, 2 cores.") == 7
    assert render(text, sources().get)[0] == text  # nothing moves the second time


def test_plume_sections_state_the_numbers() -> None:
    text, _ = render(blank(), sources().get)
    assert "| **network** | 0.89 (0.79–0.98) | 0.95 (0.85–1.05) |" in text or "0.88 (0.79–0.98)" in text
    assert "| a-new-peer |" in text  # a method without a label keeps its name
    assert "112 kg/h at 4 m/s" in text and "| – | – | – |" in text  # the z-score was not judged by plume
    assert "median bias +7 % (-3 to +17)" in text and "70 % (60 %–80 %)" in text
    assert "| window 64 | 515 × | 2.3 s |" in text and "9e-07 in probability" in text
    assert "| plumenet-64 | dense | CPU | – | 2.3 s | 0.36 |" in text
    assert "| googlenet-256 | sliding | CPU | 32 | 18.0 h * | 1.20 |" in text
    assert "2 real AVIRIS-NG chips, 1 with" in text and "network 0.09 (average precision 0.90)" in text
    assert "holds 100 % of the labelled pixels, and they are 5 % of the outline" in text
    assert "chosen by the label itself, scores 0.62" in text


def test_seismic_sections_state_the_numbers() -> None:
    text, _ = render(blank(), sources().get)
    assert "| **network** | 4.20 (3.78 to 4.62) | 4.20 (3.78 to 4.62) |" in text
    assert "1,200 earthquakes and 300 noise records at 36 stations" in text
    assert "| **network** | 13.3 (12.0 to 14.6) | 0.96 (0.86 to 1.06) |" in text
    assert "oracle" not in text and "knows the answer" not in text  # it was not judged
    assert "latent of 16,128 numbers" in text and "patch-PCA of as many numbers – and –" in text
    assert "1200 real records (40 HH, 39 HN; 2 refused as faulty)" in text
    assert "against 25 recorded noise windows: 0.992 from the latent, 0.997 from STA/LTA." in text
    assert "| waveform → STFT | 28 × |" in text and "371 miniSEED files per second" in text


def test_clouds_sections_state_the_numbers() -> None:
    text, _ = render(blank(), sources().get)
    assert "1,500 tiles of 120 scenes" in text
    assert "| **embedding** | 0.90 (0.81–0.99) | 0.90 (0.81–0.99) |" in text
    assert "| organisation metrics | 0.80 (0.72–0.88) |" in text and "| – |" in text
    assert "the embedding is above it in mAP (0.20 (0.15–0.25)); not to be told from it in regime" in text
    assert "15.0 of 32 numbers" in text
    assert "3 MODIS scenes, 11 labelled rectangles (Fish, Flower; in one scene alone" in text
    assert "16% of 208 dealings" in text and "| always the commonest class | 0.55 |" in text
    assert "52.4 × as fast" in text and "1,890 windows/s" in text


def test_superdarn_sections_state_the_numbers() -> None:
    text, _ = render(blank(), sources().get)
    assert "49,305 vectors 60 minutes after 300 times of issue" in text
    assert "20 radars see 8.8 % of the cells" in text
    assert "| **skill over damped persistence** | 0.14 (0.09 to 0.19) |" in text
    assert "| damped persistence | 170 |" in text
    assert "above damped persistence at 10 and 30 minutes; not to be told from damped" in text
    assert "30 files read, 1 refused" in text
    assert "431 × as fast as pydarn" in text


def test_claims_are_counted_by_whose_they_are_and_missed_ones_named() -> None:
    text, _ = render(blank(), sources().get)
    assert "its two runtime tables included | 1 | 0 | 0 | 1 |" in text
    assert "| our own: bars, limits and headline figures | 0 | 1 | 1 | 0 |" in text
    assert "these do not hold: a claim of clouds (0.797, claimed >= 0.8)." in text


def test_transport_stands_beside_what_one_would_use_by_hand() -> None:
    text, _ = render(blank(), sources().get)
    assert "| loopback, ssh, push | 93.1 | 102 (rsync) | 0.91 |" in text
    assert "| loopback, ssh, push in the tunnel | 51.2 | 102 (rsync) | 0.50 |" in text
    assert "16 MB go in 1.5 s as 4 files, in 9.5 s as 1,000" in text


def test_plume_sections_without_rates_or_table() -> None:
    """Tiles from a manifest have no flightlines; --quick measures no table."""
    few = sources()
    few[PLUME] = {"tiles": few[PLUME]["tiles"], "rate_bias": None}
    few[DENSE].pop("table")
    text, _ = render(blank(), few.get)
    assert "Emission rates" not in text and "pixel IoU" not in text
    assert "measured no table" in text


def test_sections_without_a_source_stay_and_are_named() -> None:
    before, _ = render(blank(), sources().get)
    after, absent = render(before, {GENERATE: sources()[GENERATE]}.get)
    assert after == before
    assert absent == {
        "tdlas:results": METRICS, "tdlas:limits": METRICS, "tdlas:predict": PREDICT, "plume:results": PLUME,
        "plume:real": REAL, "plume:dense": DENSE, "plume:modes": DENSE,
        "seismic:results": SEISMIC, "seismic:real": SEISMIC_REAL, "seismic:feed": FEED,
        "clouds:results": CLOUDS, "clouds:real": CLOUDS_REAL, "clouds:embed": CLOUDS_EMBED,
        "superdarn:results": SUPERDARN, "superdarn:real": SUPERDARN_REAL, "superdarn:potential": POTENTIAL,
        "machines:transport": TRANSPORT, "claims:results": CLAIMS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing marked", "marks the sections none"),
        (blank() + "<!-- tdlas:results -->", "once"),
        (blank().replace("<!-- /tdlas:limits -->", ""), "has no `<!-- /tdlas:limits -->`"),
    ],
)
def test_broken_markers_are_refused(text: str, told: str) -> None:
    with pytest.raises(EarthSignalsError, match=told):
        render(text, sources().get)


def test_command_writes_once_and_check_finds_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "README.md").write_text(blank())
    for name, content in sources().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / PREDICT).unlink()
    monkeypatch.chdir(tmp_path)
    call = CliRunner().invoke

    stale = call(app, ["readme", "--check"])
    assert stale.exit_code == 1 and (tmp_path / "README.md").read_text() == blank()
    assert "stale in tdlas:results, tdlas:limits, tdlas:generate" in stale.stderr
    written = call(app, ["readme"])
    assert written.exit_code == 0 and f"tdlas:predict: left as it is, {PREDICT}" in written.stdout
    assert call(app, ["readme", "--check"]).exit_code == 0
    changed = sources()[METRICS] | {"test_scans": 99}
    (tmp_path / METRICS).write_text(json.dumps(changed))
    assert call(app, ["readme", "--check"]).exit_code == 1
    (tmp_path / "README.md").unlink()
    missing = call(app, ["readme"])
    assert missing.exit_code == 1 and "git checkout README.md" in missing.stderr
