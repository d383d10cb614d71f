"""Loggers beside MLflow: a sentence where there is none, and real offline runs where wandb is installed."""

from __future__ import annotations

import builtins
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.training.loggers import logger_of, logging_to

sys.path.insert(0, str(Path(__file__).parent))
import training_job as job  # noqa: E402

HAS_WANDB = importlib.util.find_spec("wandb") is not None


def test_none_is_none(tmp_path):
    assert logger_of("none", "run", tmp_path / "there") is None
    with logging_to("none", "run", tmp_path / "there") as on_epoch:
        assert on_epoch is None
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("kind", "told"),
    [("neptune", "no longer has a logger for Neptune.*`none`"), ("tensorflow", "there is no `tensorflow`")],
)
def test_loggers_that_there_are_not(tmp_path, kind, told):
    with pytest.raises(EarthSignalsError, match=told):
        logger_of(kind, "run", tmp_path)


def test_lightning_has_no_logger_for_neptune():
    """Should it come back, the sentence above is wrong."""
    import lightning.pytorch.loggers as loggers

    assert not hasattr(loggers, "NeptuneLogger") and hasattr(loggers, "WandbLogger")


def test_a_package_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch):
    class Absent:
        def __init__(self, **_):
            raise ModuleNotFoundError("wandb")

    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", Absent)
    with pytest.raises(EarthSignalsError, match="wandb is not installed; `pip install wandb`"):
        logger_of("wandb", "run", tmp_path)


@pytest.mark.skipif(HAS_WANDB, reason="wandb is installed: the next test runs it really")
def test_rows_reach_the_logger_with_names_and_steps(tmp_path, monkeypatch):
    """A stand-in with the methods of Lightning's class, and of wandb what is called of it."""
    told = []

    class StandIn:
        def __init__(self, **options):
            told.append(("made", options["name"], options["project"], options["offline"]))
            self.experiment = self

        def log_hyperparams(self, values):
            told.append(("values", values))

        def log_metrics(self, row, step):
            told.append(("row", step, row))

        def finalize(self, status):
            told.append(("end", status))

        def finish(self, exit_code):
            told.append(("exit", exit_code))

    class Wandb:
        class errors:
            Error = ValueError

    real = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *rest: Wandb if name == "wandb" else real(name, *rest)
    )
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", StandIn)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with logging_to("wandb", "superdarn-train", tmp_path, {"epochs": 4}) as on_epoch:
        on_epoch({"epoch": 0, "learning_rate": 0.1, "train_loss": 2.0, "validation_loss": 3.0})
    assert told == [
        ("made", "superdarn-train", "earthsignals", True), ("values", {"epochs": 4}),
        ("row", 0, {"learning_rate": 0.1, "train/loss": 2.0, "val/loss": 3.0, "epoch": 0}),
        ("end", "success"), ("exit", 0),
    ]  # fmt: skip
    told.clear()
    with pytest.raises(ValueError), logging_to("wandb", "superdarn-train", tmp_path):
        raise ValueError
    assert told[-2:] == [("end", "failed"), ("exit", 1)]


@pytest.mark.skipif(not HAS_WANDB, reason="wandb is an optional package")
@pytest.mark.filterwarnings("default")
def test_wandb_really_writes_an_offline_run(tmp_path, monkeypatch):
    """Read back from the file that `wandb sync` would send: every epoch, under MLflow's names."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with logging_to("wandb", "superdarn-train", tmp_path / "logs", {"epochs": 4}) as on_epoch:
        _, result = job.train(tmp_path / "resume", on_epoch=on_epoch)
    (file,) = (tmp_path / "logs").rglob("*.wandb")
    rows = _history(file)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    for row, expected in zip(rows, result.history, strict=True):
        assert row["val/loss"] == expected["validation_loss"]
        assert row["train/loss"] == expected["train_loss"]


def _history(file: Path) -> list[dict[str, float]]:
    from wandb.proto.wandb_internal_pb2 import Record

    rows = []
    for content in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return rows


def _records(data: bytes) -> list[bytes]:
    """Records of LevelDB's log format, in which wandb writes: seven bytes of its own, then blocks of 32 KiB
    that hold fragments of a checksum (4 bytes), a length (2), a kind (1: whole, 4: last) and content."""
    at, found, content = 7, [], b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        content += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(content)
            content = b""
    return found
