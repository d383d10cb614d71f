"""`earthsignals tdlas …` as a person types it: answers, files, and errors in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from earthsignals.tdlas.lines import write_lines

from .conftest import ROOT, Small

PROGRAM = Path(sys.executable).with_name("earthsignals")


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EARTHSIGNALS_PROGRESS": "false", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [str(PROGRAM), "tdlas", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that is a project as far as the commands need one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def test_check_looks_at_everything_and_says_what_is_next(project: Path) -> None:
    finished = call(project, "check")
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert all(line.startswith("✓") for line in lines)
    assert "40 of HITRAN2020" in finished.stdout and "gradients finite" in finished.stdout
    assert lines[-1].endswith("dvc repro tdlas-train")


def test_check_takes_a_users_file(project: Path, small: Small) -> None:
    finished = call(project, "check", str(small.dataset))
    assert finished.returncode == 0, finished.stderr
    assert f"{small.params.dataset.scans:,} scans of 1000 samples" in finished.stdout


def test_predict_writes_a_table(project: Path, small: Small) -> None:
    out = project / "ppm.csv"
    finished = call(
        project, "predict", str(small.dataset), "--model", str(small.checkpoint), "--out", str(out)
    )
    assert finished.returncode == 0, finished.stderr
    assert out.read_text().startswith("scan,mole_fraction_ppm,standard_error_ppm,low_68")
    assert f"{small.params.dataset.scans:,} scans" in finished.stdout


def test_dump_writes_spectra_that_predict_reads_back(project: Path, small: Small) -> None:
    finished = call(project, "dump", "--n", "4", "--out", "spectra")
    assert finished.returncode == 0, finished.stderr
    spectra = sorted((project / "spectra").iterdir())
    assert len(spectra) == 4
    finished = call(
        project, "predict", "spectra", "--model", str(small.checkpoint), "--out", "back.csv"
    )
    assert finished.returncode == 0, finished.stderr
    rows = (project / "back.csv").read_text().splitlines()[1:]
    for path, row in zip(spectra, rows, strict=True):
        named = float(path.stem.split("-")[3])
        assert float(row.split(",")[1]) == pytest.approx(named, rel=0.05, abs=30)


def test_errors_are_one_sentence_without_a_traceback(project: Path, small: Small) -> None:
    finished = call(project, "predict", "nowhere.h5", "--model", str(small.checkpoint))
    assert finished.returncode == 1
    assert "nowhere.h5" in finished.stderr and "Traceback" not in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_evaluate_real_judges_on_the_full_line_list(
    project: Path, small: Small, real_data: Path
) -> None:
    """The network has seen 40 lines only; on scans of all 406 it is biased but not lost."""
    (project / "data/tdlas").mkdir(parents=True)
    write_lines(small.lines, project / "data/tdlas/lines.csv")
    finished = call(
        project, "evaluate-real", str(real_data / "tdlas"), "--model", str(small.checkpoint)
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads((project / "reports/tdlas/real.json").read_text())
    assert found["lines"] == "CH4_4383_4386.data" and found["line_count"] == 406
    assert 1e-4 < found["absorbance_difference_of_peak"] < 0.03
    assert set(found["data_md5"]) <= set("0123456789abcdef.dir")
    assert found["rmse_over_crlb"]["1e2-1e3"] < 5
