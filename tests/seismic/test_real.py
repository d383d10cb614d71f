"""Evaluation on folders of real files: what is read, what is refused, and what the report says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from obspy import Stream, Trace, UTCDateTime

from earthsignals.seismic.real import evaluate_real, read_folder
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_path
from tests.seismic.stand_ins import SMALL, small_models, small_store

SETTINGS = Settings(device="cpu", workers=1)
RATE = 100.0


def write_record(path: Path, station: str, seconds: float, *, event: bool = True, seed: int = 0) -> None:
    """Three components of noise; with an arrival 10 s after the start that decays."""
    generator = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    data = generator.standard_normal((3, samples))
    if event:
        after = np.arange(samples - 1000) / RATE
        data[:, 1000:] += 100 * np.exp(-after / 3) * generator.standard_normal((3, samples - 1000))
    path.parent.mkdir(parents=True, exist_ok=True)
    Stream([
        Trace((1000 * values).astype(np.int32), {
            "network": "XX", "station": station, "channel": f"{path.stem[-2:]}{letter}",
            "sampling_rate": RATE, "starttime": UTCDateTime(2020, 1, 1),
        })
        for values, letter in zip(data, "ENZ", strict=True)
    ]).write(str(path), format="MSEED")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four earthquakes of two kinds (one of them unknown to the simulation), noise, and a broken file."""
    source = tmp_path / "real"
    for number, kind in enumerate(["HH", "HH", "DP", "DP"]):
        write_record(
            source / f"waves/{kind}/e{number}_S{number}_{kind}.mseed", f"S{number}", 30.0, seed=number
        )
    write_record(source / "noise_mseed/long_N1_BH.mseed", "N1", 100.0, event=False, seed=9)
    (source / "waves/HH/bad_S9_HH.mseed").write_bytes(b"no waveform at all")
    return source


def test_a_folder_becomes_earthquakes_noise_windows_and_surrogates(folder: Path) -> None:
    found = read_folder(folder, SMALL)
    table = found.store.metadata
    assert (table["trace_category"] == "earthquake").sum() == 4
    assert found.noise_windows == 3  # of 30 s in 100 s
    assert found.surrogates == 4
    assert sum(found.refused.values()) == 1
    assert sorted(set(table["trace_channel"])) == ["BH", "DP", "HH"]
    assert found.store.waveforms.shape == (11, 3, 3000)
    # The arrival lies where the layout says, far above the noise before it.
    events = table[table["trace_category"] == "earthquake"]
    assert events["trace_p_arrival_sample"].tolist() == [1000.0] * 4
    assert (events["trace_snr_db"] > 25).all()


def test_surrogates_are_noise_like_that_before_the_arrival(folder: Path) -> None:
    """Same station, same power within the scatter of ten seconds, and nothing of the earthquake."""
    store = read_folder(folder, SMALL).store
    made = store.metadata["trace_name_original"].str.startswith("surrogate of").to_numpy()
    surrogates, events = store.waveforms[made], store.waveforms[:4]
    before = events[:, :, :900].std(axis=(1, 2))
    assert surrogates.std(axis=(1, 2)) == pytest.approx(before, rel=0.15)
    assert (np.abs(surrogates).max((1, 2)) < 8 * before).all()
    assert store.metadata["station_code"][made].tolist() == store.metadata["station_code"][:4].tolist()
    assert store.metadata["trace_snr_db"][made].isna().all()


def test_the_report_names_data_models_and_what_was_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "real.json"
    found = evaluate_real(
        folder, small_store(), **small_models(), params=SMALL, settings=SETTINGS, out=out
    )
    told = json.loads(out.read_text())
    assert told["data_md5"] == md5_path(folder)
    assert told["bottleneck_md5"] == "md5 of bottleneck"
    assert told["kinds"] == {"DP": 2, "HH": 2}
    assert told["records"] == found["records"] == 11
    assert told["floor_source"] == "surrogates"
    assert set(told["groups"]["kind"]["16"]) == {"DP", "HH"}
    assert {"model", "pca", "patch_pca"} <= set(told["mse"]["16"])
    for key in (
        "mse_floor", "mse_zero", "mse_mean", "denoise_gain_db_at_0", "denoise_correlation_at_0", "auc_latent",
        "auc_sta_lta", "mse_seed", "mae_seed",
    ):  # fmt: skip
        assert np.isfinite(told[key]), key
    assert told["auc_by_noise"]["recorded"]["noise_records"] == 3
    assert told["auc_by_noise"]["surrogates"]["noise_records"] == 4
    # An arrival forty decibels above stationary noise is no question for a trigger.
    assert told["auc_sta_lta"] == 1.0


def test_folders_that_hold_no_earthquake_are_refused_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="no such folder of real data"):
        read_folder(tmp_path / "absent", SMALL)
    for name in ("HH", "DP"):
        for path in (folder / "waves" / name).glob("e*.mseed"):
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EarthSignalsError, match=r"no usable record of an earthquake.*\d"):
        read_folder(folder, SMALL)


def test_real_records_are_read(real_data: Path, tmp_path: Path) -> None:
    """Some of each kind from the shared folder: nothing is refused, and the ratios are those of its table."""
    source = real_data / "seismic"
    if not source.is_dir():
        pytest.skip(f"no real seismic data at {source}")
    chosen = [path for kind in sorted((source / "mseed_3c").iterdir()) for path in sorted(kind.iterdir())[:2]]
    for path in chosen:
        copy = tmp_path / "real" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    params = SMALL.model_copy(update={"window": SMALL.window.model_copy(update={"after_p_s": 60.0})})
    found = read_folder(tmp_path / "real", params)
    assert not found.refused
    assert found.surrogates == len(chosen)
    import pandas as pd

    table = pd.read_csv(source / "records.csv").set_index("file")["snr_db_max_comp"]
    events = found.store.metadata[found.store.metadata["trace_category"] == "earthquake"]
    expected = table.loc[events["trace_name_original"]].to_numpy()
    difference = events["trace_snr_db"].to_numpy() - expected
    assert np.median(np.abs(difference)) < 0.5  # their linear trend was taken off before
