"""Configurations of our keys and of older names, a training from Python, and what a SLURM job is told."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from earthsignals.compute import slurm
from earthsignals.params import ParamsError, read_yaml
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.configuration import differences, nested, understood
from earthsignals.superdarn.launch import SlurmRun, train
from earthsignals.superdarn.networks.pangu import Pangu3D
from earthsignals.superdarn.networks.seed import SEED, seed_params
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.vectors import Vectors

BASE = SuperdarnParams()
ROOT = Path(__file__).parents[2]
TINY = {
    "fast_dev_run": True, "split.block_hours": 1, "grid": {"columns": 24, "latitude_step": 8.0}, "levels": 5,
    "patch_size": (1, 5, 4), "embed_dim": 4, "num_heads": (1, 1, 1, 1), "depths": (1, 1, 1, 1),
    "window_size": (2, 1, 3), "time_step": 1, "windowMinutes": 20, "state.memories_minutes": [0.0],
    "state.widths_cells": [0.0], "precision": 32,
}  # fmt: skip


def test_older_names_reach_their_parameters():
    """The first document's configuration, less its keys: every name arrives where it is meant."""
    config = {
        "embed_dim": 64, "num_heads": (4, 8, 8, 4), "window_size": (2, 4, 8), "mlp_ratio": 2,
        "gradient_checkpointing": True, "learning_rate": 2e-4, "batch_size": 4, "max_epochs": 7,
        "gradient_clip_val": 0.5, "time_step": 4, "noise_factor": 0.2, "grid_size": 100, "method": "grid",
        "windowMinutes": 60, "data_dir": "records", "logger": "wandb", "num_workers": 3, "pin_memory": True,
        "prefetch_factor": 4, "precision": 16,
    }  # fmt: skip
    found = understood(config, BASE)
    assert differences(BASE, found.params) == {
        "source": "records", "grid.representation": "square", "grid.size": 100, "state.history_minutes": 60,
        "network.embed_dim": 64, "network.num_heads": [4, 8, 8, 4], "network.window_size": [2, 4, 8],
        "network.mlp_ratio": 2.0, "network.gradient_checkpointing": True, "train.learning_rate": 2e-4,
        "train.batch_size": 4, "train.epochs": 7, "train.gradient_clip": 0.5, "train.time_step": 4,
        "train.noise_factor": 0.2, "train.logger": "wandb",
    }  # fmt: skip
    assert found.settings == {
        "loader_workers": 3, "pin_memory": True, "prefetch_factor": 4, "precision": "16-mixed",
    }  # fmt: skip


def test_our_keys_nested_or_with_dots():
    for config in (
        {"network": {"embed_dim": 64}, "source": "records"}, {"network.embed_dim": 64, "source": "records"},
        {"superdarn": {"network": {"embed_dim": 64}, "source": "records"}},
    ):  # fmt: skip
        changed = differences(BASE, understood(config, BASE).params)
        assert changed == {"network.embed_dim": 64, "source": "records"}
    assert understood({}, BASE).params == BASE
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


def test_a_bucket_is_named_by_host_and_port():
    config = {"bucket_name": "superdarn-data", "MINIOHost": "localhost", "MINIOPort": 9000}
    params = understood(config, BASE).params
    assert params.source == "s3"
    assert (params.s3.bucket, params.s3.endpoint_url) == ("superdarn-data", "http://localhost:9000")
    secure = understood({"MINIOHost": "https://minio.example.org"}, BASE).params
    assert secure.s3.endpoint_url == "https://minio.example.org"


def test_leads_that_one_step_does_not_reach_are_left_out():
    """10 levels of 2 minutes: 20 minutes a step. Named leads are never touched: the sentence tells."""
    assert understood({"time_step": 1}, BASE).params.evaluate.leads_minutes == (2, 10, 20)
    with pytest.raises(ParamsError, match="asks for 60 minutes.*raise time_step"):
        understood({"time_step": 1, "evaluate.leads_minutes": [10, 60]}, BASE)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"embed_dmi": 64}, "`embed_dmi` is no known key; did you mean `embed_dim`"),
        ({"network": {"embed_dmi": 64}}, "did you mean `network.embed_dim`"),
        ({"xyzzy": 1}, r"`xyzzy` is no known key \(known: embed_dim"),
        ({"embed_dim": "64"}, 'network.embed_dim` is "64", expected a whole number'),
        ({"embed_dim": 31}, "must be a multiple of every number of heads"),
        ({"precision": 64}, "`precision` is `64`, expected 16, 32, bf16 or auto"),
        ({"method": "map"}, "expected one of `flat`, `grid`"),
        ({"preset": "sead"}, "there is no preset `sead`"),
        ({"fast_dev_run": "yes"}, "expected true or false"),
        ({"MINIOPort": 9000}, "needs a `MINIOHost`"),
        ({"bucket_name": "b", "data_dir": "d"}, "expected one source"),
        ({"MINIOAccesskey": "minioadmin", "bucket_name": "b"}, "AWS_ACCESS_KEY_ID"),
        ({"MINIOSecret": "hidden-word"}, "AWS_SECRET_ACCESS_KEY"),
        ({"s3": {"secret_key": "hidden-word"}}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(config, told):
    with pytest.raises(EarthSignalsError, match=told) as caught:
        understood(config, BASE)
    assert "hidden-word" not in str(caught.value) and "minioadmin" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_preset_is_what_older_practice_began_with():
    params = seed_params(BASE)
    assert params == understood({"preset": "seed"}, BASE).params
    assert params.network.embed_dim == 128 and params.network.num_heads == (8, 16, 16, 8)
    assert params.network.window_size == (2, 8, 16) and params.network.mlp_ratio == 4
    assert params.grid.representation == "square" and params.grid.size == 300
    assert (params.train.learning_rate, params.train.batch_size, params.train.epochs) == (1e-4, 16, 200)
    assert (params.train.gradient_clip, params.train.noise_factor) == (0.25, 0.1)
    # Other keys win over it, and nothing that it does not name changes.
    assert understood({"preset": "seed", "embed_dim": 64}, BASE).params.network.embed_dim == 64
    named = {f"{section}.{key}" for section, values in SEED.items() for key in values}
    assert set(differences(BASE, params)) <= named


def test_the_preset_builds_with_shared_tables():
    """Expanded to every pair of tokens, as published ports store it, the bias would be most of the network.

    Without memory for it: shapes alone. By hand: a table has 31 · 2² · 8² rows for each of its 3 · 10 windows
    in level and latitude (5 × 75 × 75 tokens) and 8 heads, or 3 · 5 (5 × 38 × 38) and 16; a pair of the 256
    tokens of a window takes 65,536.
    """
    params = seed_params(BASE)
    with torch.device("meta"):
        network = Pangu3D(4, 2, params.network.levels, (300, 300), params.network, cyclic=False)
    tables = sum(p.numel() for name, p in network.named_parameters() if name.endswith("table"))
    assert tables == 31 * 4 * 64 * (4 * 30 * 8 + 12 * 15 * 16) == 30_474_240
    expanded = 65_536 * (4 * 30 * 8 + 12 * 15 * 16)
    assert expanded > 250e6 and network.parameter_count < 45e6
    assert network.parameter_count - tables < 12e6


def test_the_preset_runs_on_a_small_odd_grid():
    network = Pangu3D(2, 2, 3, (11, 13), seed_params(BASE).network, cyclic=False).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 2, 3, 11, 13)).shape == (1, 2, 3, 11, 13)


def write_records(folder: Path, hours: int = 4) -> Path:
    """A file of two radars that see forty cells every two minutes."""
    random = np.random.Generator(np.random.Philox(5))
    cells = cells_above(60.0)[::20][:40]
    frames, count = hours * 30, len(cells)
    start = dt.datetime(2015, 3, 1, tzinfo=dt.UTC).timestamp() + 120.0 * np.repeat(np.arange(frames), count)
    index = np.tile(cells, frames).astype(np.int32)
    mlat, mlon = cell_centre(index)
    velocity = (300 + 50 * random.standard_normal(len(index))).astype(np.float32)
    one = np.ones(len(index), np.float32)
    vectors = Vectors(
        start, start + 120, np.where(np.arange(len(index)) % 2, 5, 6).astype(np.int16),
        np.zeros(len(index), np.int16), mlat.astype(np.float32), mlon.astype(np.float32), 30 * one, velocity,
        20 * one, 12 * one, 100 * one, index,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(folder / "20150301.north.grid.bz2", vectors.sorted())
    return folder


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder that is no project, on a machine without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARTHSIGNALS_PROGRESS", "false")
    monkeypatch.setenv("EARTHSIGNALS_THREADS", "1")
    return tmp_path


def test_train_makes_a_model_from_a_folder_of_records(outside):
    """The whole way, twice: the same configuration gives the same bytes, and nothing is left to resume."""
    config = TINY | {"data_dir": str(write_records(outside / "given"))}
    model = train(config, accelerator="cpu", devices=1, folder=outside / "made")
    assert model.name == "best_model.pt" and model.is_file()
    from earthsignals.superdarn.checkpoint import load_model

    loaded = load_model(model)
    assert loaded.forecaster.network.parameter_count > 0
    again = train(config, accelerator="cpu", devices=1, folder=outside / "again")
    assert md5_file(again) == md5_file(model)
    assert not list((outside / "made/resume").glob("*"))


@pytest.mark.parametrize(
    ("accelerator", "devices", "told"),
    [
        ("tpu", 1, "accelerator is `tpu`, expected one of auto, cpu"),
        ("cpu", 0, "devices is `0`, expected a whole number > 0, or auto"),
        ("cpu", "two", "devices is `two`"),
        ("cpu", [0, 1], "devices is"),
    ],
)
def test_devices_that_cannot_be_meant_are_one_sentence(outside, accelerator, devices, told):
    with pytest.raises(EarthSignalsError, match=told):
        train({}, accelerator=accelerator, devices=devices)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(outside):
    with pytest.raises(EarthSignalsError, match="(?i)cuda"):
        train({}, accelerator="gpu")


@pytest.fixture
def project(outside, monkeypatch):
    """A project whose SLURM only listens."""
    for name in (".git", ".dvc"):
        (outside / name).mkdir()
    text = (ROOT / "params.yaml").read_text()
    (outside / "params.yaml").write_text(text)
    (outside / "dvc.yaml").write_text("stages:\n  superdarn-train: {cmd: 'true'}\n")
    asked = []

    def ask(*command):
        asked.append(command)
        return "17" if command[0] == "sbatch" else ""

    monkeypatch.setattr(slurm, "ask", ask)
    monkeypatch.setattr(slurm, "_need", lambda program: None)
    return outside, asked


def script_of(folder: Path) -> str:
    return (folder / ".dvc/tmp/slurm/superdarn-train.sh").read_text()


def test_a_job_finds_its_parameters_in_params_yaml(project, capsys):
    """Only values that the configuration changes, with every comment left; execution in the environment."""
    folder, asked = project
    before = (folder / "params.yaml").read_text()
    expected = read_yaml(folder / "params.yaml")
    expected["superdarn"]["train"]["epochs"] = 9
    number = SlurmRun(
        {"max_epochs": 9, "precision": 16, "num_workers": 2, "pin_memory": True}, time="2:00:00",
        partition="gpu", nodes=2, ntasks_per_node=2, gres="gpu:2", mem="32G",
    )  # fmt: skip
    assert number == 17 and any(command[0] == "sbatch" for command in asked)
    assert read_yaml(folder / "params.yaml") == expected
    after = (folder / "params.yaml").read_text()
    assert [line.partition("#")[2] for line in after.splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]
    script = script_of(folder)
    for line in (
        "#SBATCH --time=2:00:00", "#SBATCH --partition=gpu", "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=2", "#SBATCH --gres=gpu:2", "#SBATCH --mem=32G",
        "export EARTHSIGNALS_PRECISION=16-mixed", "export EARTHSIGNALS_LOADER_WORKERS=2",
        "export EARTHSIGNALS_PIN_MEMORY=true", "slurm run superdarn-train",
    ):  # fmt: skip
        assert line in script
    assert "dvc repro superdarn-grid" not in script
    assert "superdarn.train.epochs is now 9" in capsys.readouterr().out


def test_a_job_of_another_grid_makes_it_first(project):
    SlurmRun({"grid": {"columns": 120}})
    lines = script_of(project[0]).splitlines()
    assert lines[-2:][0].startswith("#") and "dvc repro superdarn-grid" in lines


def test_a_job_that_is_refused_leaves_params_as_they_were(project, monkeypatch):
    folder, _ = project
    before = (folder / "params.yaml").read_bytes()
    for config, rest, told in (
        ({"max_epochs": 9}, {"gres": "gpu:1", "ntasks_per_node": 2}, "fewer GPUs"),
        ({"max_epochs": 9}, {"queue": "long"}, "unexpected keyword argument 'queue'"),
        ({"max_epochs": 0}, {}, "epochs` is 0"),
        ({"fast_dev_run": True}, {}, "for train\\(\\) alone"),
        ({"MINIOSecret": "x"}, {}, "AWS_SECRET_ACCESS_KEY"),
    ):
        with pytest.raises(EarthSignalsError, match=told):
            SlurmRun(config, **rest)
        assert (folder / "params.yaml").read_bytes() == before
    monkeypatch.setattr(slurm, "ask", lambda *_: json.dumps("refused"))
    with pytest.raises(EarthSignalsError):
        SlurmRun({"max_epochs": 9})
    assert (folder / "params.yaml").read_bytes() == before


def test_an_empty_configuration_changes_nothing(project):
    before = read_yaml(project[0] / "params.yaml")
    assert SlurmRun({}) == 17
    assert read_yaml(project[0] / "params.yaml") == before
