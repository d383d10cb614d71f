"""Training: it begins at the linear start, learns what a line cannot say, and its file can be trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.checkpoint import ForecastModel, load_model
from earthsignals.superdarn.losses import SightLoss
from earthsignals.superdarn.model import Forecaster, along_sight
from earthsignals.superdarn.params import GridParams, SuperdarnParams
from earthsignals.superdarn.samples import Samples
from earthsignals.superdarn.train import train_forecast, worth_keeping
from tests.superdarn.worlds import thirds, world

SMALL = {
    "grid": {"latitude_min": 75.0, "columns": 96},
    "state": {"history_minutes": 20, "memories_minutes": [0.0, 10.0], "widths_cells": [0.0, 2.0],
              "stride": 2},
    "network": {"levels": 5, "patch_size": [5, 5, 12], "embed_dim": 8, "num_heads": [1, 1, 1, 1],
                "depths": [1, 1, 1, 1], "window_size": [1, 3, 4], "drop_path": 0.0},
    "train": {"time_step": 2, "epochs": 2, "batch_size": 4, "stride": 3, "noise_factor": 0.0,
              "ema_decay": 0.0, "learning_rate": 3e-3, "seed": 3},
    "evaluate": {"leads_minutes": [2, 10, 20]},
}  # fmt: skip
SETTINGS = Settings(device="cpu", threads=1, progress=False)


def _params(**more: dict) -> SuperdarnParams:
    sections = {key: {**SMALL[key], **more.pop(key, {})} for key in SMALL} | more
    return SuperdarnParams.model_validate_json(json.dumps(sections))


def drift(mlat, mlon, mlt, minutes):
    """Two cells in local time, waxing and waning within an hour."""
    strength = 300 * (1 + 0.5 * np.sin(minutes / 10))
    return strength * np.cos(mlt * np.pi / 12), strength * np.sin(mlt * np.pi / 6)


@pytest.fixture(scope="module")
def grid():
    return world(drift, 140, radars=2, share=0.5, noise=60.0, splits=thirds)


@pytest.fixture(scope="module")
def trained(grid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    done = train_forecast(grid, _params(), SETTINGS, folder / "model.pt", resume_root=folder / "resume")
    return done, folder / "model.pt"


def _forecaster(params: SuperdarnParams) -> Forecaster:
    torch.manual_seed(0)
    return Forecaster(params.grid, params.state, params.network, params.train.time_step)


def test_before_training_the_forecast_is_the_linear_start(grid) -> None:
    forecaster = _forecaster(_params()).eval()
    history, hours, roll, *_ = Samples(grid, np.array([20, 30]), 10, 10).batch(np.arange(2), 0)
    forecast, start = forecaster(history, hours, roll)
    assert forecast.shape == (2, 10, 2, *grid.layout.shape)
    torch.testing.assert_close(forecast, start, rtol=0, atol=0)


def test_the_loss_is_one_for_damped_persistence(trained, grid) -> None:
    """The start's loss on the training block is its error over damped persistence's: below 1."""
    done, path = trained
    assert 0 < done.history[0]["train_start_loss"] < 1
    forecaster = load_model(path).forecaster
    samples = Samples(grid, grid.issues("train", 1, 10, 3), 10, 10)
    batch = samples.batch(np.arange(len(samples)), 0)
    assert float(SightLoss()(forecaster, batch)["start_loss"]) == pytest.approx(
        done.history[0]["train_start_loss"], rel=0.1
    )


def test_only_observed_cells_count(grid) -> None:
    """The gradient of the loss is zero wherever nothing was observed at that lead."""
    samples = Samples(grid, np.array([30]), 10, 10)
    _, _, _, lead, cell, north, east, velocity, present, _ = samples.batch(np.array([0]), 0)
    answer = torch.zeros(1, 10, 2, *grid.layout.shape, requires_grad=True)
    seen = along_sight(answer, lead, cell, north, east)
    (present * (velocity - seen).square()).sum().backward()
    touched = answer.grad[0].abs().sum(1) > 0
    expected = torch.zeros_like(touched)
    for n in range(10):
        vectors = grid.vectors(31 + n)
        expected[n, vectors.row.astype(int), vectors.column.astype(int)] = True
    assert not (touched & ~expected).any()
    assert touched.sum() > 0.95 * expected.sum()


def test_a_projection_is_linear_in_the_drift() -> None:
    drift = torch.randn(1, 2, 2, 3, 4)
    lead, cell = torch.tensor([[1]]), torch.tensor([[2 * 4 + 3]])
    north, east = torch.tensor([[0.6]]), torch.tensor([[0.8]])
    expected = 0.6 * drift[0, 1, 0, 2, 3] + 0.8 * drift[0, 1, 1, 2, 3]
    assert float(along_sight(drift, lead, cell, north, east)) == pytest.approx(float(expected))


def test_training_keeps_what_helps(trained, grid) -> None:
    done, path = trained
    assert len(done.history) == 2
    forecaster = load_model(path).forecaster
    assert ((forecaster.gain >= 0) & (forecaster.gain <= 1)).all()
    samples = Samples(grid, grid.issues("validation", 1, 10, 3), 10, 10)
    losses = SightLoss()(forecaster, samples.batch(np.arange(len(samples)), 0))
    # The gain is fitted here, lead by lead: what is kept cannot be worse than the start.
    assert float(losses["loss"]) <= float(losses["start_loss"]) * (1 + 1e-4)


def test_a_correction_is_kept_as_far_as_hours_agree_on_it() -> None:
    square = np.ones((20, 1))
    assert worth_keeping(0.7 * square, square) == pytest.approx(0.7)  # all hours say the same
    assert worth_keeping(3.0 * square, square) == 1.0
    assert worth_keeping(-0.2 * square, square) == 0.0
    assert worth_keeping(0.7 * square[:3], square[:3]) == 0.0  # three hours are no evidence
    scattered = np.where(np.arange(20) % 2, 2.0, -1.0)[:, None]
    # Mean 0.5; of 20 hours of ±1.5 its standard error is 1.5/√19.
    assert worth_keeping(scattered, square) == pytest.approx(0.5 - 1.5 / np.sqrt(19))


def test_a_model_forecasts_every_lead_in_metres_per_second(trained, grid) -> None:
    model = load_model(trained[1])
    assert model.leads_minutes == list(range(2, 22, 2))
    forecast = model.forecast(grid, 100)
    assert forecast.shape == (10, 2, *grid.layout.shape)
    assert np.isfinite(forecast).all()
    assert 50 < np.abs(forecast).max() < 3000
    carried = model.carried(grid, 100)
    assert len(carried) == grid.offsets[111] - grid.offsets[101]
    assert len(model.carried(grid, len(grid) - 1)) == 0


def test_the_same_training_gives_the_same_bytes(grid, trained, tmp_path: Path) -> None:
    again = tmp_path / "model.pt"
    train_forecast(grid, _params(), SETTINGS, again, resume_root=tmp_path / "resume")
    assert again.read_bytes() == trained[1].read_bytes()


def test_every_knob_of_the_recipe_changes_the_model(grid, trained, tmp_path: Path) -> None:
    base = load_model(trained[1]).forecaster.state_dict()
    for section, changed in (
        ("train", {"noise_factor": 0.5}), ("train", {"seed": 4}), ("state", {"ridge": 1.0}),
        ("state", {"shrinkage": 0.5}), ("state", {"stride": 5}), ("network", {"mlp_ratio": 2.0}),
        ("state", {"history_minutes": 12}), ("state", {"memories_minutes": [0.0, 6.0]}),
        ("state", {"widths_cells": [0.0, 1.0]}), ("train", {"time_step": 3}),
    ):  # fmt: skip
        out = tmp_path / "other.pt"
        train_forecast(
            grid, _params(**{section: changed}), SETTINGS, out, resume_root=tmp_path / "resume"
        )
        other = load_model(out).forecaster.state_dict()
        same = all(
            base[name].shape == other[name].shape and torch.equal(base[name], other[name]) for name in base
        )
        assert not same, changed


def test_a_block_too_short_is_a_sentence(tmp_path: Path) -> None:
    short = world(drift, 14, splits=thirds)
    with pytest.raises(EarthSignalsError, match="block holds no 20 minutes in one piece"):
        train_forecast(short, _params(), SETTINGS, tmp_path / "m.pt", resume_root=tmp_path / "r")


def test_another_grid_and_another_network_are_refused(trained, grid, tmp_path: Path) -> None:
    model = load_model(trained[1])
    other = world(drift, 12, params=GridParams(latitude_min=75.0, columns=120))
    with pytest.raises(EarthSignalsError, match="columns 120 instead of 96"):
        model.forecast(other, 11)
    params = _params(network={"embed_dim": 16}, train={"initial_checkpoint": str(trained[1])})
    with pytest.raises(EarthSignalsError, match="another network"):
        train_forecast(grid, params, SETTINGS, tmp_path / "m.pt", resume_root=tmp_path / "r")


def test_training_goes_on_from_another_model(trained, grid, tmp_path: Path) -> None:
    """The network's weights and the climatology are taken over; the start is fitted to the new records."""
    first = load_model(trained[1]).forecaster
    params = _params(train={"initial_checkpoint": str(trained[1]), "epochs": 1, "learning_rate": 1e-9})
    train_forecast(grid, params, SETTINGS, tmp_path / "m.pt", resume_root=tmp_path / "r")
    second = load_model(tmp_path / "m.pt").forecaster
    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict(), rtol=0, atol=1e-6)
    # A single block has no climatology of its own.
    assert torch.equal(second.start.climatology, first.start.climatology)
    torch.testing.assert_close(second.start.fixed, first.start.fixed)


def test_the_start_keeps_its_digits_whatever_the_networks_precision(grid) -> None:
    forecaster = _forecaster(_params()).eval()
    torch.nn.init.normal_(forecaster.start.fixed)
    history, hours, roll, *_ = Samples(grid, np.array([30]), 10, 10).batch(np.array([0]), 0)
    _, plain = forecaster(history, hours, roll)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, mixed = forecaster(history, hours, roll)
    assert torch.equal(plain, mixed)


def test_what_is_judged_changes_nothing(grid, trained, tmp_path: Path) -> None:
    """Other velocities in the test block leave the checkpoint's bytes as they are."""
    other = world(drift, 140, radars=2, share=0.5, noise=60.0, splits=thirds)
    other.velocity[int(other.offsets[105]) :] *= 3
    train_forecast(other, _params(), SETTINGS, tmp_path / "m.pt", resume_root=tmp_path / "r")
    assert (tmp_path / "m.pt").read_bytes() == trained[1].read_bytes()


def test_a_file_that_is_no_model_is_told(trained, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(trained[1].read_bytes()[:1000])
    with pytest.raises(EarthSignalsError, match="bad.pt"):
        load_model(bad)
    assert isinstance(load_model(trained[1]), ForecastModel)
