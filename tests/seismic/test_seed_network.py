"""The plain autoencoder has its 777,987 parameters, learns, resumes, and can be watched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.seismic import seed_recipe
from earthsignals.seismic.checkpoint import load_model
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.seed_recipe import ReconstructionLoss, evenly, train_seed
from earthsignals.seismic.tensorboard import TensorboardLog, panels
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from tests.seismic.test_batches import store_of

PARAMS = SeismicParams(
    stft={"window_samples": 64, "overlap_samples": 48, "fft_samples": 64},
    window={"before_p_s": 2, "after_p_s": 8},
    seed={"epochs": 2, "batch_size": 8, "records": 20},
)
SETTINGS = Settings(device="cpu", threads=1, progress=False)


def splits_of(train: int = 24, dev: int = 6):
    """A store of earthquakes in two splits."""
    store = store_of(train + dev)
    store.metadata["split"] = ["train"] * train + ["dev"] * dev
    store.metadata["trace_category"] = "earthquake"
    store.metadata["trace_channel"] = "HH"
    store.about["metadata_sha256"] = "of this test"
    return store


def test_its_size_and_latent_are_the_published_ones():
    network = SeedAutoencoder().requires_grad_(False)
    assert sum(p.numel() for p in network.parameters()) == 777_987
    x = torch.rand(2, 3, 129, 111)
    latent = network.encode(x)
    assert latent.shape == (2, 256, 9, 7)
    assert latent[0].numel() == network.latent_numbers((3, 129, 111)) == 16_128
    y = network(x)
    assert y.shape == x.shape and 0 <= float(y.min()) <= float(y.max()) <= 1
    assert torch.equal(network.decode(latent, (129, 111)), network.decode(network.encode(x), x.shape[-2:]))


@pytest.mark.parametrize("shape", [(16, 16), (33, 66), (129, 111), (100, 17)])
def test_images_of_any_size_come_back_in_that_size(shape):
    network = SeedAutoencoder().eval()
    x = torch.rand(1, 3, *shape)
    assert network(x).shape == x.shape
    assert network.encode(x).numel() == network.latent_numbers(shape)


def test_padding_does_not_count():
    x = torch.full((2, 3, 4, 5), 0.5)
    mask = torch.tensor([1.0, 1, 1, 0, 0]).expand(2, 1, 1, 5)

    def model(image):
        return image + torch.tensor([0.1, -0.1, 0.1, 9, 9])

    found = ReconstructionLoss()(model, (x, mask))
    assert float(found["loss"]) == pytest.approx(0.01, rel=1e-5)
    assert float(found["mae"]) == pytest.approx(0.1, rel=1e-5)
    nothing = ReconstructionLoss()(model, (x, torch.zeros_like(mask)))
    assert float(nothing["loss"]) == 0


def test_training_lowers_the_error_and_writes_a_model(tmp_path):
    options = PARAMS.seed.model_copy(update={"epochs": 8, "learning_rate": 3e-3})
    params = PARAMS.model_copy(update={"seed": options})
    trained = train_seed(splits_of(), params, SETTINGS, tmp_path / "seed.pt", resume_root=tmp_path / "resume")
    history = trained.history
    assert len(history) == 8 and {"train_mae", "validation_mae"} <= set(history[0])
    # Noise has a floor, its speckle; what can be learnt of it is its mean spectrum.
    assert history[-1]["train_loss"] < 0.85 * history[0]["train_loss"]
    assert trained.metrics()["parameters"] == 777_987 and trained.metrics()["records"] == 20
    model = load_model(tmp_path / "seed.pt", "seed")
    assert model.preprocessing.scaling.normalisation == "component"  # whatever the parameters' default is
    assert PARAMS.scaling.normalisation == "joint"
    trained.clear()
    assert not list((tmp_path / "resume").iterdir())


def test_a_killed_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    options = PARAMS.seed.model_copy(update={"epochs": 3})
    params = PARAMS.model_copy(update={"seed": options})
    store = splits_of()
    train_seed(store, params, SETTINGS, tmp_path / "whole" / "seed.pt", resume_root=tmp_path / "one")

    class Killed(Exception):
        pass

    class Dying(TensorboardLog):
        def __call__(self, row):
            if row["epoch"] == 1:
                raise Killed

    watched = params.model_copy(update={"tensorboard": True})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(seed_recipe.tensorboard, "TensorboardLog", Dying)
        train_seed(
            store, watched, SETTINGS, tmp_path / "seed.pt", resume_root=tmp_path / "two",
            log_folder=tmp_path / "log",
        )  # fmt: skip
    assert not (tmp_path / "seed.pt").exists()
    trained = train_seed(store, params, SETTINGS, tmp_path / "seed.pt", resume_root=tmp_path / "two")
    assert trained.result.resumed_epoch == 2
    whole, resumed = (load_model(tmp_path / name).network for name in ("whole/seed.pt", "seed.pt"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_split_without_earthquakes_is_refused(tmp_path):
    store = splits_of()
    store.metadata.loc[store.metadata["split"] == "dev", "trace_category"] = "noise"
    with pytest.raises(EarthSignalsError, match="no earthquakes in its split `dev`"):
        train_seed(store, PARAMS, SETTINGS, tmp_path / "seed.pt", resume_root=tmp_path / "resume")


def test_rows_are_chosen_evenly():
    rows = np.arange(100, 200)
    assert np.array_equal(evenly(rows, 500), rows)
    few = evenly(rows, 8)
    assert len(few) == len(set(few)) == 8 and set(np.diff(few)) <= {14, 15}


def test_tensorboard_holds_curves_and_reconstructions_and_changes_nothing(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store = splits_of()
    plain = train_seed(store, PARAMS, SETTINGS, tmp_path / "plain" / "seed.pt", resume_root=tmp_path / "one")
    assert not (tmp_path / "log").exists()
    watched = PARAMS.model_copy(update={"tensorboard": True})
    trained = train_seed(
        store, watched, SETTINGS, tmp_path / "watched" / "seed.pt", resume_root=tmp_path / "two",
        log_folder=tmp_path / "log",
    )  # fmt: skip
    assert trained.history == plain.history
    events = EventAccumulator(str(tmp_path / "log" / "seed"), size_guidance={"images": 0}).Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) == {
        "loss/train", "loss/validation", "mae/train", "mae/validation", "learning_rate",
    }  # fmt: skip
    for tag, key in (("loss/train", "train_loss"), ("mae/validation", "validation_mae")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(row["epoch"], np.float32(row[key])) for row in trained.history]
        assert found == expected
    assert sorted(tags["images"]) == [f"reconstruction/{n}" for n in range(4)]
    images = events.Images("reconstruction/0")
    _, bins, frames = 3, 33, 64
    assert [image.step for image in images] == [0, 1]
    assert images[0].height == 3 * (bins + 4) and images[0].width == 3 * (frames + 4)


def test_a_new_training_clears_the_curves_of_the_last_and_a_resumed_one_goes_on(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def steps() -> list[tuple[int, float]]:
        events = EventAccumulator(str(tmp_path)).Reload()
        return [(event.step, event.value) for event in events.Scalars("loss/train")]

    for value in (3.0, 2.0):
        with TensorboardLog(tmp_path) as log:
            for epoch in range(3):
                log({"epoch": epoch, "train_loss": value})
    assert steps() == [(0, 2.0), (1, 2.0), (2, 2.0)]
    with TensorboardLog(tmp_path) as log:  # resumed after epoch 1: what came later is superseded
        log({"epoch": 2, "train_loss": 1.0})
    assert sorted(steps())[:2] == [(0, 2.0), (1, 2.0)] and (2, 1.0) in steps()


def test_panels_show_low_frequencies_below_and_what_is_too_strong_in_red():
    x, y = np.zeros((3, 8, 6)), np.zeros((3, 8, 6))
    y[0, 0] = 0.25  # lowest frequency of E
    picture = panels(x, y)
    assert picture.shape == (3 * 12, 3 * 10, 3) and picture.dtype == np.uint8
    red, green, blue = picture[7, 20].astype(int)
    assert red > 2 * blue and red > 2 * green
    assert np.array_equal(picture[6, 20], picture[18, 20]) and min(picture[6, 20]) > 240
