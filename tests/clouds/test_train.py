"""Training: batches, every loss learns, exact resume after a kill, refusals, the peers and the stage."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from earthsignals.clouds.augment import Augment
from earthsignals.clouds.checkpoint import load_model, save_model
from earthsignals.clouds.losses import embedded, triplet_accuracy
from earthsignals.clouds.model import build
from earthsignals.clouds.params import CloudsParams, GridParams
from earthsignals.clouds.tiles.tilefile import KNOWN, ROLES, SPLITS, TABLE, Triplets, open_triplets, writing
from earthsignals.clouds.train import TripletBatches, train_embedding, train_peers
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, read_json

EDGE, COUNTS = 32, {"train": 48, "validation": 12, "study": 0}
SCENES = 6
SETTINGS = Settings(device="cpu", threads=1, progress=False)
SLOWLY = {"epochs": 10, "batch_size": 8, "learning_rate": 5e-3}
STILL = {
    "flips": False, "quarter_turns": False, "rotation_degrees": 0.0, "zoom": 1.0, "brightness": 0.0,
    "contrast": 0.0, "gamma": 0.0, "colour": 0.0, "grey": 0.0, "noise": 0.01,
}  # fmt: skip
LOSSES = ("contrastive", "vicreg", "triplet", "triplet-squared")


def params_of(**sections: dict) -> CloudsParams:
    own = {
        "grid": {"tile_px": EDGE},
        "network": {
            "architecture": "resnet18", "width": 4, "padding": "zero", "embedding": 8, "hidden": 16,
            "scattering": False,
        },
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2},
    }
    merged = {name: own.get(name, {}) | sections.get(name, {}) for name in own | sections}
    return CloudsParams.model_validate(merged)


def stripes(scene: int, generator: np.random.Generator) -> np.ndarray:
    """A tile whose organisation, the width of its stripes, is the scene's; brightness and place are not."""
    row, column = np.mgrid[:EDGE, :EDGE]
    phase, turn = generator.uniform(0, 2 * np.pi, 2)
    period = 3 * 1.5**scene
    wave = np.sin(2 * np.pi / period * (np.cos(turn) * row + np.sin(turn) * column) + phase)
    tile = 128 + 60 * wave + generator.normal(0, 5, (EDGE, EDGE))
    return np.broadcast_to(tile.clip(0, 255).astype(np.uint8), (3, EDGE, EDGE))


def write_toy(path: Path, counts: dict[str, int] = COUNTS) -> Triplets:
    with writing(path, counts, EDGE, 200.0) as file:
        tables = {}
        for number, split in enumerate(SPLITS):
            generator = np.random.default_rng(number)
            rows = np.arange(3 * counts[split])
            scenes = generator.integers(SCENES, size=counts[split])
            others = (scenes + generator.integers(1, SCENES, size=counts[split])) % SCENES
            scene = np.stack([scenes, scenes, others], 1).ravel()
            for row in rows:
                file.put(split, [row], stripes(scene[row], generator)[None])
            tables[split] = pd.DataFrame({
                "triplet": rows // 3, "role": np.array(ROLES)[rows % 3], "row": 0, "column": 0,
                "scene": [f"{split}-{one}" for one in scene], "day": [f"2020-01-0{1 + one}" for one in scene],
                "time": "2020-01-01T12:00:00+00:00", "regime": "", "latitude": 0.0, "longitude": 0.0,
                "size_km": 200.0, "missing_share": 0.0, **dict.fromkeys(KNOWN, np.nan),
            }, columns=list(TABLE))  # fmt: skip
        file.finish(tables, {}, {})
    return open_triplets(path)


@pytest.fixture(scope="module")
def triplets(tmp_path_factory) -> Triplets:
    return write_toy(tmp_path_factory.mktemp("toy") / "triplets.h5")


def test_a_batch_is_tiles_and_numbers_of_their_scenes(triplets):
    batches = TripletBatches(triplets, "train")
    assert len(batches) == 48
    indices = np.array([40, 2, 17])
    tiles, scenes = batches.batch(indices, epoch=3)
    assert tiles.dtype == torch.uint8 and scenes.dtype == torch.int64
    names = triplets.table("train")["scene"].to_numpy()
    numbers: dict[str, int] = {}
    for item, index in enumerate(indices):
        assert np.array_equal(tiles[item].numpy(), triplets.images("train")[3 * index : 3 * index + 3])
        for column, role in ((0, 0), (1, 2)):
            name = names[3 * index + role]
            assert numbers.setdefault(name, int(scenes[item, column])) == int(scenes[item, column])
        assert scenes[item, 0] != scenes[item, 1]
    assert len(set(numbers.values())) == len(numbers)


def test_augmented_batches_are_new_in_every_epoch_and_the_same_again(triplets):
    params = params_of()
    batches = TripletBatches(triplets, "train", Augment(params.augmentation, 5))
    shown = [batches.batch(np.array([3, 9]), epoch)[0] for epoch in (0, 1)]
    assert shown[0].dtype == torch.float32 and (shown[0] - shown[1]).abs().mean() > 0.02
    other = pickle.loads(pickle.dumps(batches))  # as another rank gets it
    assert torch.equal(other.batch(np.array([3, 9]), 1)[0], shown[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(triplets, tmp_path, loss):
    params = params_of(train={"loss": loss} | SLOWLY, augmentation=STILL)
    trained = train_embedding(
        triplets, params, SETTINGS, tmp_path / "best_model.pt", resume_root=tmp_path / "resume"
    )
    history = trained.history
    assert len(history) == SLOWLY["epochs"]
    assert {"train_triplet_accuracy", "validation_triplet_accuracy"} <= set(history[0])
    assert history[-1]["train_loss"] < 0.97 * history[0]["train_loss"]
    assert min(row["validation_loss"] for row in history) == trained.result.best_loss
    assert trained.metrics()["triplets"] == 48
    model = load_model(tmp_path / "best_model.pt")
    assert model.grid == GridParams(tile_km=200.0, tile_px=EDGE)
    assert model.params["train"]["loss"] == loss
    # What the file holds is what was validated.
    batches = TripletBatches(triplets, "validation")
    z = embedded(model.network, batches.batch(np.arange(len(batches)), 0)[0])
    best = history[trained.result.best_epoch]["validation_triplet_accuracy"]
    assert float(triplet_accuracy(z)) == pytest.approx(best, abs=1e-6)
    trained.clear()
    assert not list((tmp_path / "resume").iterdir())


@pytest.mark.parametrize("change, least", [({"padding": "none-in-trunk"}, 99), ({"scattering": True}, 111)])
def test_networks_train_on_tiles_that_they_fit(change, least, tmp_path, triplets):
    with pytest.raises(ValueError, match=f"must be at least {least} for the network"):
        params_of(network=change)  # at once, and of a file of other tiles than the parameters' as well:
    params = params_of(network=change, grid={"tile_px": 128})
    with pytest.raises(EarthSignalsError, match=f"set clouds.grid.tile_px to {least} or more"):
        train_embedding(triplets, params, SETTINGS, tmp_path / "a.pt", resume_root=tmp_path / "resume")


KILLED = """
import sys, time
from pathlib import Path
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.tiles.tilefile import open_triplets
from earthsignals.clouds import train
from earthsignals.settings import Settings

class Slow(train.TripletBatches):
    def batch(self, indices, epoch):
        time.sleep(0.1 if epoch > 1 else 0)
        return super().batch(indices, epoch)

train.TripletBatches = Slow
out, resume = Path(sys.argv[2]), Path(sys.argv[3])
train.train_embedding(
    open_triplets(sys.argv[1]), CloudsParams.model_validate_json(sys.argv[4]),
    Settings(device="cpu", threads=1, progress=False), out, resume_root=resume,
)
"""


def test_a_killed_training_resumes_to_the_same_bits(triplets, tmp_path):
    params = params_of(train={"epochs": 4})
    out, resume = tmp_path / "best_model.pt", tmp_path / "two"
    whole = train_embedding(
        triplets, params, SETTINGS, tmp_path / "whole" / out.name, resume_root=tmp_path / "one"
    )
    command = [
        sys.executable, "-c", KILLED, str(triplets.path), str(out), str(resume), params.model_dump_json(),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not list(resume.glob("*/last.pt")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not out.exists()
    resumed = train_embedding(triplets, params, SETTINGS, out, resume_root=resume)
    assert 1 <= resumed.result.resumed_epoch < 4
    assert resumed.history == whole.history
    assert out.read_bytes() == (tmp_path / "whole" / out.name).read_bytes()


def test_what_decides_the_result_names_the_resume_point(triplets, tmp_path):
    """Another augmentation, loss or network never goes on from this one's."""
    changes = [
        {}, {"augmentation": {"noise": 0.0}}, {"train": {"loss": "vicreg"}}, {"network": {"embedding": 7}},
    ]  # fmt: skip
    for change in changes:
        change = {**change, "train": {"epochs": 1} | change.get("train", {})}
        train_embedding(
            triplets, params_of(**change), SETTINGS, tmp_path / "a.pt", resume_root=tmp_path / "resume"
        )
    assert len(list((tmp_path / "resume").iterdir())) == len(changes)


def test_fine_tuning_starts_from_the_checkpoint(triplets, tmp_path):
    torch.manual_seed(9)
    start = build(params_of().network)
    save_model(tmp_path / "start.pt", start, GridParams())
    tuned = {"initial_checkpoint": str(tmp_path / "start.pt"), "learning_rate": 1e-9, "epochs": 1}
    train_embedding(
        triplets, params_of(train=tuned), SETTINGS, tmp_path / "a.pt", resume_root=tmp_path / "resume"
    )
    state = load_model(tmp_path / "a.pt").network.state_dict()
    for name, value in start.named_parameters():
        assert torch.allclose(state[name], value, atol=1e-6), name
    for change, message in (
        ({"width": 5}, "is another network than clouds.network describes .width 4 instead of 5"),
        ({"initial_weights": "somewhere.pt"}, "both say where to start"),
    ):
        with pytest.raises(EarthSignalsError, match=message):
            train_embedding(
                triplets, params_of(train=tuned, network=change), SETTINGS, tmp_path / "b.pt",
                resume_root=tmp_path / "resume",
            )  # fmt: skip


def test_a_split_without_triplets_is_refused(tmp_path):
    triplets = write_toy(tmp_path / "triplets.h5", COUNTS | {"validation": 0})
    with pytest.raises(EarthSignalsError, match="no triplets in its split `validation`"):
        train_embedding(triplets, params_of(), SETTINGS, tmp_path / "a.pt", resume_root=tmp_path / "resume")


def test_peers_are_the_same_network_with_another_loss(triplets, tmp_path):
    params = params_of(peers={"losses": ("vicreg", "triplet"), "epochs": 1}, train={"epochs": 3})
    folder = tmp_path / "peers"
    trained = train_peers(triplets, params, SETTINGS, folder, resume_root=tmp_path / "resume")
    assert list(trained) == ["vicreg", "triplet"]
    told = read_json(folder / "peers.json")
    for loss, one in trained.items():
        model = load_model(folder / f"{loss}.pt")
        assert (model.params["train"]["loss"], model.params["train"]["epochs"]) == (loss, 1)
        assert model.options["width"] == 4
        assert read_json(folder / f"{loss}.json") == one.history and len(one.history) == 1
        assert told[loss]["best_validation_loss"] == one.result.best_loss


def test_without_peers_there_is_an_empty_list(triplets, tmp_path):
    assert train_peers(triplets, params_of(), SETTINGS, tmp_path / "p", resume_root=tmp_path / "r") == {}
    assert read_json(tmp_path / "p" / "peers.json") == {}
