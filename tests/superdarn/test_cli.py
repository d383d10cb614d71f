"""`earthsignals superdarn …` as people call it: what each command prints and writes, and its sentences."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from typer.testing import CliRunner

from earthsignals.cli.superdarn import app, skill_table
from earthsignals.params import load_section
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.check import check
from earthsignals.superdarn.params import SuperdarnParams
from tests.superdarn.forecast_stand_ins import NETWORK, STATE, small_file, small_model

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[..., str]
SMALL = SuperdarnParams().model_copy(
    update={
        "network": NETWORK, "state": STATE,
        "grid": SuperdarnParams().grid.model_copy(update={"latitude_step": 4.0, "columns": 60}),
        "train": SuperdarnParams().train.model_copy(update={"time_step": 3, "batch_size": 2}),
    }
)  # fmt: skip


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls a command in an empty folder; faults are raised."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        found = CliRunner().invoke(app, [str(word) for word in words])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == 0, found.output
        return found.stdout  # without progress, which goes to stderr

    return run


def test_help_names_every_command_with_examples(call: Call) -> None:
    text = call("--help")
    for name in (
        "forecast",
        "evaluate-real",
        "check",
        "explore",
        "filelists",
        "potential",
        "mirror",
        "preset",
    ):
        assert re.search(rf"^  {name} ", text, re.MULTILINE), name
        assert re.search(r"Examples?:", call(name, "--help")), name


def test_forecast_writes_what_it_says(call: Call, tmp_path: Path) -> None:
    small_model(tmp_path)
    small_file(tmp_path)
    text = call("forecast", "20150301.north.grid.bz2", "-m", "best_model.pt", "--lead", 4, "--out", "f.nc",
                "--at", "2015-03-01T00:21")  # fmt: skip
    assert text.startswith("f.nc: drift up to 4 minutes after 2015-03-01T00:21:00Z")
    assert (tmp_path / "f.nc").is_file() and (tmp_path / "f.png").stat().st_size > 10_000
    with pytest.raises(EarthSignalsError, match="--lead 60: .*up to 12"):
        call("forecast", "20150301.north.grid.bz2", "-m", "best_model.pt")
    with pytest.raises(EarthSignalsError, match="no_model"):
        call("forecast", "20150301.north.grid.bz2", "-m", "no_model.pt")


def test_explore_tells_and_writes(call: Call, tmp_path: Path) -> None:
    small_file(tmp_path / "records")
    (tmp_path / "records" / "broken.grid").write_bytes(b"\x01" * 100)
    assert "2 files" in call("explore", "records")
    call("explore", "records", "-o", "report")
    with open(tmp_path / "report.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert int(rows["20150301.north.grid.bz2"]["records"]) == 15 and rows["broken.grid"]["faults"]
    assert (tmp_path / "report.png").is_file()
    # Of a folder without any record the table is written and the rest told.
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "letter.txt").write_text("no records")
    assert "not drawn" in call("explore", "none", "-o", "nothing")


def test_potential_prints_the_files_own_figures_beside_ours(
    call: Call, tmp_path: Path, real_data: Path
) -> None:
    file = real_data / "superdarn" / "dmap_tests" / "test.map"
    if not file.is_file():
        pytest.skip(f"no real map file {file}: set EARTHSIGNALS_REAL_DATA")
    text = call("potential", file, "-o", "out")
    assert re.search(r"2011-02-14T00:02:00Z +8 +68 +19\.78 +19\.78 +176 +86\.5 +86\.2", text)
    with open(tmp_path / "out.csv", newline="") as rows:
        drops = [(float(row["drop_kv"]), float(row["stated_drop_kv"])) for row in csv.DictReader(rows)]
    np.testing.assert_allclose(*np.transpose(drops), rtol=1e-3)
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_filelists_groups_real_fitacf(call: Call, real_data: Path) -> None:
    folder = real_data / "superdarn" / "wal_20110509"
    if not folder.is_dir():
        pytest.skip(f"no real fitacf files at {folder}: set EARTHSIGNALS_REAL_DATA")
    file = next(folder.glob("*.1001.*"))
    lines = [line.split("\t") for line in call("filelists", file, "--window", 120).splitlines()]
    assert lines[0][0] == "2011-05-09T10:00" and lines[0][2] == "32" and lines[0][3] == "-"
    assert file.name in lines[0][4]


def test_the_seed_preset_shows_and_writes(call: Call, tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    before = (tmp_path / "params.yaml").read_text()
    text = call("preset", "seed")
    assert "superdarn.network.embed_dim" in text and (tmp_path / "params.yaml").read_text() == before
    call("preset", "seed", "--write")
    assert load_section("superdarn", SuperdarnParams).network.embed_dim == 128
    assert "# " in (tmp_path / "params.yaml").read_text()  # comments stay
    assert "already" in call("preset", "seed")
    with pytest.raises(EarthSignalsError, match="no preset sed"):
        call("preset", "sed")


def test_check_walks_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = small_file(tmp_path, minutes=40)
    lines = list(check(SMALL, Settings(device="cpu"), source))
    words = ("records: 1,600 vectors of 2 radars", "grid: polar, 10 x 60 cells, 20 frames with 80 vectors",
             "network: ", "linear start: fitted", "one batch of 2 on cpu", "not made yet: superdarn-records",
             "all well")  # fmt: skip
    assert all(line.startswith(word) for line, word in zip(lines, words, strict=True)), lines
    short = small_file(tmp_path / "short", minutes=10)
    with pytest.raises(EarthSignalsError, match="no 12 minutes in one piece"):
        list(check(SMALL, Settings(device="cpu"), short))


def test_check_simulates_where_there_are_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = SMALL.model_copy(update={"simulation": SMALL.simulation.model_copy(update={"radars": 2})})
    lines = check(small, Settings(device="cpu"))
    assert re.match(r"records: [1-9][\d,]* vectors of 2 radars in 6 h, simulated", next(lines))


def test_evaluate_real_logs_what_it_prints(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from earthsignals import tracking
    from earthsignals.superdarn import real

    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    small_model(tmp_path)
    logged = MagicMock()
    monkeypatch.setattr(tracking, "run", lambda *_, **__: nullcontext(logged))
    monkeypatch.setattr(
        real, "evaluate_real",
        lambda *_: {
            "rmse_m_s": {"model": {"10": 150.0}}, "skill_vs_damped": {"10": 0.21},
            "skill_vs_persistence": {"10": 0.4}, "days": [{}], "data_md5": "abc", "coverage": 0.08,
        },
    )  # fmt: skip
    text = call("evaluate-real", "somewhere", "-m", "best_model.pt")
    assert "real.json: 1 days judged" in text and "150" in text and "0.21" in text
    logged.log_metrics.assert_called_once_with(
        {"coverage": 0.08, "skill_vs_damped_10": 0.21, "skill_vs_persistence_10": 0.4}
    )
    logged.set_tags.assert_called_once_with({"data_md5": "abc"})


def test_the_skill_table_holds_every_method_and_lead() -> None:
    found = {
        "rmse_m_s": {"model": {"10": 150.0, "2": 99.0}, "zero": {"10": 310.0, "2": 311.0}},
        "skill_vs_damped": {"10": 0.21, "2": 0.05}, "skill_vs_persistence": {"10": 0.4, "2": 0.1},
    }  # fmt: skip
    lines = skill_table(found).splitlines()
    assert lines[0].split()[-3:] == ["2", "10", "min"]  # by number, not by letter
    assert lines[1].split() == ["model", "99", "150"] and lines[2].split() == ["zero", "311", "310"]
    assert lines[3].split()[-2:] == ["0.05", "0.21"] and "persistence" in lines[4]
