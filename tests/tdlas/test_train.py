"""Training: accuracy against the bound, exact resume, calibration, fine-tuning, skipped scans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from earthsignals.storage import md5_file
from earthsignals.tdlas.bound import bound_table, forward_model
from earthsignals.tdlas.checkpoint import MismatchError, load_filter_net
from earthsignals.tdlas.dataset import ScansError, generate, open_scans
from earthsignals.tdlas.evaluate import predict_net
from earthsignals.tdlas.filters import data_filters, physics_filters
from earthsignals.tdlas.measured import simulator_for
from earthsignals.tdlas.scores import rms
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.train import read_labelled, train

from .conftest import QUIET, Small, with_values


def error_in_bounds(small: Small, checkpoint: Path) -> tuple[float, float]:
    """RMSE over the bound on the test scans, and the share inside the 95 % interval."""
    net = load_filter_net(checkpoint)
    with open_scans(small.dataset) as file:
        scans = file.read(file.rows("test"))
        table = bound_table(forward_model(simulator_for(file, small.lines, small.params)))
    out = predict_net(net, scans.signal, scans.conditions)
    truth = scans.conditions.mole_fraction / PPM
    inside = (out["low_95"] <= truth) & (truth <= out["high_95"])
    return rms((out["ppm"] - truth) / table.ppm(scans.conditions)), float(inside.mean())


def test_a_small_training_already_comes_near_the_bound(small: Small) -> None:
    """The closed-form start makes 2,580 scans enough for 1.6 bounds; nothing beats 0.8 of it."""
    ratio, inside = error_in_bounds(small, small.checkpoint)
    assert 0.8 < ratio < 1.6
    assert 0.88 < inside <= 1.0


def test_filters_of_physics_and_of_data_see_the_same_directions(small: Small) -> None:
    """The strongest physics filter lies almost inside the space of the data's filters."""
    with open_scans(small.dataset) as file:
        training = read_labelled(file, "train")
        model = forward_model(simulator_for(file, small.lines, small.params))
    physics = physics_filters(model, bound_table(model).stabiliser, 8)
    data = data_filters(training.log_trace(slice(None)), training.conditions, 24)
    space, _ = np.linalg.qr(data.filters.T)  # the filters themselves are scaled to unit noise
    assert np.linalg.matrix_rank(data.filters) == len(data.filters) <= 24
    inside = np.linalg.norm(space.T @ physics.filters[0])
    assert inside > 0.9
    assert data.stabiliser.unit_ppm == pytest.approx(
        bound_table(model).stabiliser.unit_ppm, rel=0.35
    )


def test_a_training_killed_midway_ends_in_the_same_bytes(small: Small, tmp_path: Path) -> None:
    """SIGKILL after the first epoch; the second start resumes and gives the unbroken run's file."""
    job = Path(__file__).with_name("train_job.py")
    command = [sys.executable, str(job), str(small.dataset), str(tmp_path)]
    environment = os.environ | {"EARTHSIGNALS_PROGRESS": "false"}
    process = subprocess.Popen([*command, "broken", "slow"], env=environment)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "resume-broken").glob("*/last.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "broken" / "best_model.pt").exists()
    subprocess.run([*command, "broken"], env=environment, check=True)
    subprocess.run([*command, "whole"], env=environment, check=True)
    assert "resumed at epoch 0" not in (tmp_path / "broken.txt").read_text()
    assert md5_file(tmp_path / "broken" / "best_model.pt") == md5_file(
        tmp_path / "whole" / "best_model.pt"
    )


def test_saturated_and_nan_scans_are_left_out_and_counted(small: Small, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.h5"
    spoiled.write_bytes(small.dataset.read_bytes())
    with h5py.File(spoiled, "r+") as file:
        file["I_t"][3, 100] = 2**16 - 1
        file["T"][7] = np.nan
        file["I_t"][9, :] = 0
    with open_scans(spoiled) as file:
        training = read_labelled(file, "train")
        assert training.skipped == 3
        assert len(training) == len(file.rows("train")) - 3


def test_a_split_without_labels_is_refused_by_name(small: Small, tmp_path: Path) -> None:
    unlabelled = tmp_path / "unlabelled.h5"
    unlabelled.write_bytes(small.dataset.read_bytes())
    with h5py.File(unlabelled, "r+") as file:
        file["xi"][:] = np.nan
    with open_scans(unlabelled) as file, pytest.raises(ScansError, match="train split"):
        read_labelled(file, "train")


def test_fine_tuning_starts_from_the_given_network(small: Small, tmp_path: Path) -> None:
    """Scans of a noisier instrument: the tuned network is no worse there than the one it came from."""
    params = with_values(
        small.params, dataset={"seed": 5, "scans": 1536}, instrument={"white": 1e-2},
        train={"initial_checkpoint": str(small.checkpoint), "epochs": 1},
    )  # fmt: skip
    generate(small.lines, params, tmp_path / "noisy.h5", resume_root=tmp_path / "r", workers=1)
    with open_scans(tmp_path / "noisy.h5") as file:
        train(file, small.lines, params, QUIET, tmp_path / "tuned.pt", resume_root=tmp_path / "r")
        test = file.read(file.rows("test"))
    truth = test.conditions.mole_fraction / PPM
    tuned, plain = (
        predict_net(net, test.signal, test.conditions)
        for net in (load_filter_net(tmp_path / "tuned.pt"), small.net)
    )
    low = truth < 1000
    assert rms((tuned["ppm"] - truth)[low]) < 1.1 * rms((plain["ppm"] - truth)[low])
    # The error it states has grown with the noise.
    assert np.median(tuned["error_ppm"] / plain["error_ppm"]) > 1.5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"laser": {"samples_per_scan": 500}}, "500 samples"),
        ({"gas": {"path_cm": 120.0}}, "path of 120 cm"),
        ({"lines": {"window_low": 4383.5}}, "window 4383.500"),
    ],
)
def test_scans_of_another_kind_are_refused(
    small: Small, tmp_path: Path, change: dict, named: str
) -> None:
    params = with_values(small.params, dataset={"scans": 128}, **change)
    generate(small.lines, params, tmp_path / "other.h5", resume_root=tmp_path / "r", workers=1)
    with open_scans(tmp_path / "other.h5") as file, pytest.raises(MismatchError, match=named):
        small.net.check(file)
