"""Export and prediction: torch and ONNX agree, bad scans are flagged, bad files are named."""

from __future__ import annotations

import csv
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.export import TOLERANCE, check_parity, export_onnx, load_onnx, parity
from earthsignals.tdlas.predict import predict_file

from .conftest import Small


@pytest.fixture(scope="module")
def onnx(small: Small) -> Path:
    path = small.folder / "model.onnx"
    export_onnx(small.net, path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_onnx_equals_torch_over_the_test_set(small: Small, onnx: Path) -> None:
    with open_scans(small.dataset) as file:
        difference = parity(small.net, onnx, file)
    assert difference < TOLERANCE
    check_parity(difference)
    with pytest.raises(EarthSignalsError, match="differs from torch"):
        check_parity(2e-4)
    with pytest.raises(EarthSignalsError, match="differs from torch"):
        check_parity(float("nan"))


def test_export_is_repeatable_and_names_no_path_of_this_machine(small: Small, onnx: Path) -> None:
    again = small.folder / "again" / "model.onnx"
    export_onnx(small.net, again)
    assert md5_file(again) == md5_file(onnx)
    assert str(Path(__file__).resolve().parents[2]).encode() not in onnx.read_bytes()


def test_onnx_takes_any_batch(small: Small, onnx: Path) -> None:
    """One scan alone gives what it gives in a batch: preprocessing and batch are inside the graph."""
    predict, described, content = load_onnx(onnx)
    with open_scans(small.dataset) as file:
        scans = file.read(slice(0, 33))
    together = predict(scans.signal, scans.conditions)["ppm"]
    alone = predict(scans.signal[7:8], scans.conditions[7:8])["ppm"]
    assert alone[0] == pytest.approx(together[7], rel=1e-6)
    assert described.lines_sha256 == small.lines.sha256()
    assert content["params"]["gas"]["path_cm"] == small.params.gas.path_cm


@pytest.mark.parametrize("model", ["checkpoint", "onnx"])
def test_a_file_of_scans_becomes_a_table(small: Small, onnx: Path, tmp_path: Path, model: str) -> None:
    chosen = small.checkpoint if model == "checkpoint" else onnx
    counts = predict_file(small.dataset, chosen, tmp_path / "out.csv")
    predict_file(small.dataset, chosen, tmp_path / "out.h5")
    rows = rows_of(tmp_path / "out.csv")
    assert counts["scans"] == len(rows) == small.params.dataset.scans
    with h5py.File(tmp_path / "out.h5") as file, h5py.File(small.dataset) as data:
        ppm, truth = file["mole_fraction_ppm"][:], data["xi"][:] * 1e6
        low, high = file["low_95"][:], file["high_95"][:]
    assert np.median(np.abs(ppm - truth) / truth) < 0.05
    assert np.mean((low <= truth) & (truth <= high)) > 0.9
    assert float(rows[11]["mole_fraction_ppm"]) == pytest.approx(ppm[11], rel=1e-5)


def test_bad_scans_are_flagged_and_never_numbers(small: Small, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.h5"
    spoiled.write_bytes(small.dataset.read_bytes())
    with h5py.File(spoiled, "r+") as file:
        file["I_t"][0, 500] = 2**16 - 1
        file["I_t"][1, :] = 0
        file["T"][2] = np.nan
        file["T"][3] = 400.0
    counts = predict_file(spoiled, small.checkpoint, tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert [row["flags"] for row in rows[:4]] == ["saturated", "dark", "not-finite", "out-of-range"]
    assert all(row["mole_fraction_ppm"] == "nan" for row in rows[:3])
    assert counts["saturated"] == counts["dark"] == counts["not-finite"] == 1


def test_a_float_scan_with_a_nan_is_flagged(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "float.h5"
    with h5py.File(small.dataset) as source, h5py.File(path, "w") as target:
        for name in ("nu", "t", "T", "P", "xi", "split"):
            target[name] = source[name][:] if name in ("nu", "t") else source[name][:50]
        counts = source["I_t"]
        target["I_t"] = (counts[:50] * counts.attrs["scale_factor"]).astype("f4")
        target["I_t"].attrs.update(scale_factor=1.0, full_scale=0)
        target["I_t"][5, 77] = np.nan
        for key, value in source.attrs.items():
            target.attrs[key] = value
    predict_file(path, small.checkpoint, tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert rows[5]["flags"] == "not-finite" and rows[5]["mole_fraction_ppm"] == "nan"
    assert rows[6]["flags"] == "ok"


def test_a_pickle_posing_as_a_checkpoint_runs_no_code(small: Small, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    posing = tmp_path / "best_model.pt"
    posing.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(EarthSignalsError, match=r"best_model.pt.*pickle"):
        predict_file(small.dataset, posing, tmp_path / "out.csv")
    import torch

    torch.save({"format_version": 1, "kind": "tdlas", "state_dict": Bomb()}, posing)
    with pytest.raises(EarthSignalsError, match="never loaded"):
        predict_file(small.dataset, posing, tmp_path / "out.csv")
    assert not (tmp_path / "exploded").exists() and not (tmp_path / "out.csv").exists()


def test_a_corrupted_checkpoint_is_named(small: Small, tmp_path: Path) -> None:
    content = bytearray(small.checkpoint.read_bytes())
    content[len(content) // 2] ^= 0xFF
    broken = tmp_path / "best_model.pt"
    broken.write_bytes(content)
    with pytest.raises(EarthSignalsError, match=r"best_model.pt.*damaged"):
        predict_file(small.dataset, broken, tmp_path / "out.csv")
    broken.write_bytes(small.checkpoint.read_bytes()[:1000])
    with pytest.raises(EarthSignalsError, match=r"best_model.pt.*truncated"):
        predict_file(small.dataset, broken, tmp_path / "out.csv")


def test_a_truncated_dataset_and_a_foreign_onnx_are_named(small: Small, tmp_path: Path) -> None:
    broken = tmp_path / "scans.h5"
    broken.write_bytes(small.dataset.read_bytes()[:100_000])
    with pytest.raises(EarthSignalsError, match=r"scans.h5.*truncated"):
        predict_file(broken, small.checkpoint, tmp_path / "out.csv")
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"no network")
    with pytest.raises(EarthSignalsError, match=r"foreign.onnx is no ONNX network"):
        predict_file(small.dataset, foreign, tmp_path / "out.csv")
    with pytest.raises(EarthSignalsError, match=r"missing.onnx does not exist"):
        predict_file(small.dataset, tmp_path / "missing.onnx", tmp_path / "out.csv")
    with pytest.raises(EarthSignalsError, match=r"\.csv or \.h5"):
        predict_file(small.dataset, small.checkpoint, tmp_path / "out.txt")


def test_a_full_disk_leaves_no_half_result(small: Small, tmp_path: Path) -> None:
    """A file-size limit of 50 kB stands for a full disk: one sentence, nothing under the name."""
    out = tmp_path / "out.csv"
    script = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pathlib import Path\n"
        "from earthsignals.stage import run_stage\n"
        "from earthsignals.tdlas.predict import predict_file\n"
        "run_stage(lambda: predict_file(*map(Path, sys.argv[1:])))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(small.dataset), str(small.checkpoint), str(out)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True, text=True,
    )  # fmt: skip
    assert finished.returncode == 1
    assert "out.csv could not be written" in finished.stderr
    assert list(tmp_path.iterdir()) == []
