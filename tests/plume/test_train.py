"""Training: batches, losses, calibration, exact resume, every architecture's path, refusals, the check."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from earthsignals.plume import train as training
from earthsignals.plume.calibrate import calibrate, fit_scaling, shift_logits, sigmoid
from earthsignals.plume.check import check
from earthsignals.plume.checkpoint import load_model
from earthsignals.plume.dataset import SPLITS, TileFile, TilesError, make_tiles, open_tiles
from earthsignals.plume.losses import PixelLoss, TileLoss, class_weights
from earthsignals.plume.model import build
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.preprocess import NAMED
from earthsignals.plume.tiles.augment import TileBatches
from earthsignals.plume.train import train, train_peers
from earthsignals.storage import EarthSignalsError, md5_file, read_json
from earthsignals.training import load_checkpoint

from .conftest import QUIET, small_params
from .test_dataset import scene_index

TILES = {"positives_per_plume": 8, "negatives_per_flightline": 4, "backgrounds_per_flightline": 8}
TRAIN = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "seed": 1}
SETTINGS = QUIET.model_copy(update={"threads": 1})


def params_with(**sections: dict) -> PlumeParams:
    own = {"tiles": TILES, "train": TRAIN}
    return small_params(**{name: own.get(name, {}) | sections.get(name, {}) for name in own | sections})


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileFile:
    folder = tmp_path_factory.mktemp("training")
    make_tiles(scene_index(folder / "scenes"), params_with(), folder / "tiles.h5")
    return open_tiles(folder / "tiles.h5")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> TileFile:
    """Tiles of 64 and 256 pixels, as few as there can be."""
    folder = tmp_path_factory.mktemp("wide")
    few = {"positives_per_plume": 1, "negatives_per_flightline": 1, "backgrounds_per_flightline": 0}
    params = params_with(tiles=few, peers={"models": ["plumenet-256"]})
    make_tiles(scene_index(folder / "scenes", 900, 300), params, folder / "tiles.h5")
    return open_tiles(folder / "tiles.h5")


def run(tiles: TileFile, params: PlumeParams, folder: Path) -> tuple[Path, training.Trained]:
    trained = train(tiles, params, SETTINGS, folder / "best_model.pt", resume_root=folder / "resume")
    return folder / "best_model.pt", trained


def weights_of(path: Path) -> torch.Tensor:
    state = load_checkpoint(path, "plume")["state_dict"]
    return torch.cat([value.flatten().double() for value in state.values()])


# --- batches


def test_a_batch_is_normalised_tiles_and_labels(tiles: TileFile) -> None:
    group = tiles.group(64)
    batches = TileBatches(group, "train", NAMED["multicampaign"])
    x, label = batches.batch(np.array([5, 0, 11]), epoch=3)
    rows = group.rows("train")[[5, 0, 11]]
    tile = np.nan_to_num(group.tiles[rows], nan=0.0)
    assert np.allclose(x[:, 0].numpy(), (np.clip(tile, 0, 4000) - 115) / 190, atol=1e-6)
    assert label.tolist() == group.label[rows].tolist()
    assert (x.dtype, x.shape, label.dtype) == (torch.float32, (3, 1, 64, 64), torch.float32)


def orientations(image: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(image, k) for k in range(4)]
    return turned + [one[:, ::-1] for one in turned]


def test_tiles_turn_with_their_masks_anew_in_every_epoch(tiles: TileFile) -> None:
    group = tiles.group(64)
    plain = TileBatches(group, "train", NAMED["multicampaign"], with_masks=True)
    turning = TileBatches(
        group, "train", NAMED["multicampaign"], with_masks=True, flips=True, rotations=True, seed=2
    )
    one = np.array([0])
    (tile,), (mask,) = (t.numpy() for t in plain.batch(one, 0))
    found = []
    for epoch in range(60):
        (x,), (y,) = (t.numpy() for t in turning.batch(one, epoch))
        which = [n for n, image in enumerate(orientations(tile[0])) if np.array_equal(image, x[0])]
        assert which and np.array_equal(orientations(mask)[which[0]], y)
        found.append(which[0])
    assert set(found) == set(range(8))  # 60 draws miss one of eight with a chance of 0.3 %
    # A function of seed, epoch and tile: alone, in another batch, or after a kill.
    many = turning.batch(np.array([3, 0, 7]), 17)[0][1]
    assert torch.equal(many, turning.batch(one, 17)[0][0])


@pytest.mark.parametrize("flips, rotations, number", [(True, False, 4), (False, True, 4), (False, False, 1)])
def test_flips_and_rotations_are_chosen_apart(tiles: TileFile, flips, rotations, number) -> None:
    batches = TileBatches(
        tiles.group(64), "train", NAMED["multicampaign"], flips=flips, rotations=rotations
    )
    shown = {batches.batch(np.array([0]), epoch)[0].numpy().tobytes() for epoch in range(40)}
    assert len(shown) == number


# --- losses


class Fixed(torch.nn.Module):
    """Gives its logits whatever it sees."""

    def __init__(self, logits: list, auxiliary: tuple = ()) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))
        self.auxiliary = auxiliary

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_tile_loss_is_weighted_cross_entropy() -> None:
    """-w ln(sigmoid(+-z)), by hand for one tile of each class."""
    model, batch = Fixed([2.0, -1.0]), (torch.zeros(2), torch.tensor([1.0, 0.0]))
    none, plume = np.log1p(np.exp(-1.0)), np.log1p(np.exp(-2.0))
    result = TileLoss(weight_none=0.5, weight_plume=3.0)(model, batch)
    assert result["loss"].item() == pytest.approx((0.5 * none + 3.0 * plume) / 2, rel=1e-6)
    assert result["accuracy"].item() == 1.0


def test_labels_are_smoothed_in_training_alone() -> None:
    model, batch = Fixed([2.0]), (torch.zeros(1), torch.tensor([1.0]))
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    smooth = TileLoss(smoothing=0.2)
    assert smooth(model.train(), batch)["loss"].item() == pytest.approx(0.9 * right + 0.1 * wrong)
    assert smooth(model.eval(), batch)["loss"].item() == pytest.approx(right)


def test_auxiliary_heads_count_for_three_tenths() -> None:
    heads = (torch.tensor([2.0]), torch.tensor([0.0]))
    batch = torch.zeros(1), torch.tensor([1.0])
    expected = np.log1p(np.exp(-2.0)) * 1.3 + np.log(2) * 0.3
    assert TileLoss()(Fixed([2.0], heads), batch)["loss"].item() == pytest.approx(expected)


def test_pixel_loss_at_its_limits() -> None:
    """Sure and right: 0. No idea (p = 1/2): ln 2 + 1 - (2 * 8/2 + 1) / (32/2 + 8 + 1)."""
    plume = torch.zeros(2, 4, 4)
    plume[0, :2] = 1.0
    batch = torch.zeros(2, 1, 4, 4), plume
    assert PixelLoss()(Fixed((100 * (plume * 2 - 1)).tolist()), batch)["loss"].item() < 1e-6
    unsure = PixelLoss()(Fixed(torch.zeros(2, 4, 4).tolist()), batch)["loss"].item()
    assert unsure == pytest.approx(np.log(2) + 1 - 9 / 25)


def test_class_weights_make_both_classes_weigh_alike() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    none, plume = class_weights(labels)
    assert 30 * none == pytest.approx(10 * plume)
    assert 30 * none + 10 * plume == pytest.approx(40)


# --- calibration


def test_scaling_is_found_again() -> None:
    """Labels drawn from sigmoid((z + 0.7) / 2.5): 40,000 of them fix both to some percent."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 40_000)
    labels = random.random(40_000) < sigmoid((logits + 0.7) / 2.5)
    temperature, shift = fit_scaling(logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.03)
    assert shift == pytest.approx(0.7, abs=0.1)
    found = calibrate(logits, labels)
    assert found.nll_after < found.nll_before
    assert found.calibration_error_after < 0.01 < found.calibration_error_before
    # F1 at the chosen threshold is what it says and no other threshold is better.
    probability = sigmoid((logits + found.shift) / found.temperature)

    def f1(threshold: float) -> float:
        called = probability >= threshold
        return 2 * (called & labels).sum() / (called.sum() + labels.sum())

    assert f1(found.threshold) == pytest.approx(found.f1)
    assert max(map(f1, np.linspace(0.01, 0.99, 99))) <= found.f1


def test_perfect_separation_keeps_a_temperature() -> None:
    """The likelihood would grow for ever as the temperature falls; it stays above its bound of 0.05."""
    logits = np.r_[np.full(50, -3.0), np.full(50, 3.0)]
    temperature, shift = fit_scaling(logits, logits > 0)
    assert 0.05 <= temperature < 0.5
    assert abs(shift) < 0.1


@pytest.mark.parametrize(
    "architecture, window", [("plumenet", 64), ("googlenet-valid", 256), ("googlenet", 256), ("unet", 64)]
)
def test_a_shift_moves_every_logit_alike(architecture: str, window: int) -> None:
    torch.manual_seed(0)
    network = build(architecture, window).eval()
    x = torch.randn(1, 1, window, window)
    with torch.no_grad():
        before = network(x)
        shift_logits(network, 1.25)
        assert torch.allclose(network(x), before + 1.25, atol=1e-5)


# --- training


def test_bright_plumes_are_learned_and_the_file_says_how_to_read_it(tiles: TileFile, tmp_path: Path) -> None:
    """1500 ppm·m over 100 of noise: nothing to doubt. Roofs of 900 ppm·m and 16 pixels are no plume."""
    params = params_with(train={"epochs": 12}, preprocessing={"name": "COVID_QC"})
    path, trained = run(tiles, params, tmp_path)
    model = load_model(path)
    assert (model.architecture, model.window) == ("plumenet", 64)
    assert model.preprocessing == NAMED["COVID_QC"]
    assert (model.temperature, model.threshold) == (
        trained.calibration.temperature, trained.calibration.threshold,
    )  # fmt: skip
    group = tiles.group(64)
    rows = group.rows("test")
    x = torch.from_numpy(model.preprocessing.apply(group.tiles[rows])).unsqueeze(1)
    with torch.no_grad():
        called = model.probability(model.network(x).numpy()) >= model.threshold
    assert (called == group.label[rows]).mean() > 0.9
    assert len(trained.history) == 12
    losses = [row["validation_loss"] for row in trained.history]
    assert trained.result.best_loss == min(losses) < 0.5 * losses[0]


def test_nothing_of_the_test_days_is_looked_at(tiles: TileFile, tmp_path: Path) -> None:
    """With garbage for test tiles the model file is the same: weights, temperature and threshold."""
    spoiled = tmp_path / "spoiled.h5"
    shutil.copyfile(tiles.path, spoiled)
    with h5py.File(spoiled, "r+") as file:
        for row in np.flatnonzero(file["64/split"][:] == SPLITS["test"]):
            file["64/tiles"][row] = 1e4
            file["64/label"][row] = 1 - file["64/label"][row]
    first, _ = run(tiles, params_with(), tmp_path / "a")
    second, _ = run(open_tiles(spoiled), params_with(), tmp_path / "b")
    assert md5_file(first) == md5_file(second)


def test_a_training_broken_off_ends_in_the_same_bytes(tiles: TileFile, tmp_path: Path, monkeypatch) -> None:
    params = params_with(train={"optimizer": "sgd", "sam_rho": 0.05, "ema_decay": 0.9, "epochs": 3})
    whole, expected = run(tiles, params, tmp_path / "whole")
    made = TileBatches.batch

    def breaks(self, indices, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return made(self, indices, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TileBatches, "batch", breaks)
        with pytest.raises(BaseException):  # noqa: B017, PT011 (Lightning turns it into SystemExit)
            run(tiles, params, tmp_path / "broken")
    assert not (tmp_path / "broken" / "best_model.pt").exists()
    broken, resumed = run(tiles, params, tmp_path / "broken")
    assert resumed.result.resumed_epoch == 2
    assert md5_file(broken) == md5_file(whole)
    assert resumed.history == expected.history
    resumed.clear()
    assert not list((tmp_path / "broken" / "resume").iterdir())


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("train", "class_weights", False), ("train", "flips", False), ("train", "rotations", False),
        ("train", "label_smoothing", 0.2), ("preprocessing", "name", "Permian_QC"),
        ("preprocessing", "clamp_high", 500.0),
    ],
)  # fmt: skip
def test_every_choice_changes_the_weights(tiles: TileFile, tmp_path: Path, section, key, value) -> None:
    one = {"train": {"epochs": 1}}
    reference, _ = run(tiles, params_with(**one), tmp_path / "a")
    changed = {name: one.get(name, {}) for name in {*one, section}}
    changed[section] = changed[section] | {key: value}
    other, _ = run(tiles, params_with(**changed), tmp_path / "b")
    assert not torch.equal(weights_of(reference), weights_of(other))


def test_fine_tuning_goes_on_from_the_given_weights(tiles: TileFile, tmp_path: Path) -> None:
    first, trained = run(tiles, params_with(train={"epochs": 4}), tmp_path / "a")
    params = params_with(
        train={"initial_checkpoint": str(first), "epochs": 1, "learning_rate": 1e-9, "weight_decay": 0.0}
    )
    second, tuned = run(tiles, params, tmp_path / "b")
    names = [name for name, _ in load_model(first).network.named_parameters() if "linear" not in name]
    states = [load_checkpoint(path, "plume")["state_dict"] for path in (first, second)]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in names)
    params = params_with(train={"initial_checkpoint": str(first), "architecture": "unet"})
    with pytest.raises(EarthSignalsError, match=r"holds a plumenet of window 64.*is unet"):
        run(tiles, params, tmp_path / "c")


# --- peers


def test_every_peer_trains_some_steps(wide: TileFile, tmp_path: Path) -> None:
    """Each path of the paper scale, at a size for tests: two tiles a batch, one epoch."""
    names = ["plumenet-256", "googlenet-256", "googlenet-valid-256", "unet-64"]
    peers = {"models": names, "epochs": 1, "batch_size": 2, "learning_rate": 1e-4}
    trained = train_peers(
        wide, params_with(peers=peers), SETTINGS, tmp_path / "peers", resume_root=tmp_path / "resume"
    )
    assert sorted(trained) == sorted(names)
    for name in names:
        model = load_model(tmp_path / "peers" / f"{name}.pt")
        assert f"{model.architecture}-{model.window}" == name
        history = read_json(tmp_path / "peers" / f"{name}.json")
        assert len(history) == 1 and np.isfinite(history[0]["train_loss"])
        assert history[0]["learning_rate"] <= 1e-4
    assert set(read_json(tmp_path / "peers" / "peers.json")) == set(names)


def test_without_peers_the_folder_is_there(tiles: TileFile, tmp_path: Path) -> None:
    assert train_peers(tiles, params_with(), SETTINGS, tmp_path / "peers", resume_root=tmp_path) == {}
    assert [path.name for path in (tmp_path / "peers").iterdir()] == ["peers.json"]


# --- refusals


@pytest.mark.parametrize(
    "train_section, told",
    [
        ({"architecture": "googlenet"}, "googlenet has no window of 64"),
        ({"initial_checkpoint": "nowhere.pt"}, "nowhere.pt does not exist"),
    ],
)
def test_what_cannot_be_trained_is_refused(tiles: TileFile, tmp_path: Path, train_section, told) -> None:
    with pytest.raises(EarthSignalsError, match=told):
        run(tiles, params_with(train=train_section), tmp_path)


def test_a_unet_cannot_learn_from_a_manifest(tiles: TileFile, tmp_path: Path) -> None:
    without = tmp_path / "manifest.h5"
    shutil.copyfile(tiles.path, without)
    with h5py.File(without, "r+") as file:
        file.attrs["has_masks"] = False
    with pytest.raises(TilesError, match="marks no pixels.*unet"):
        run(open_tiles(without), params_with(train={"architecture": "unet"}), tmp_path)


# --- the check before a long run


def lines_of(steps: Iterator[str]) -> list[str]:
    return [line.partition(":")[0] for line in steps]


@pytest.mark.parametrize("architecture, dense", [("plumenet", "within"), ("unet", "has none")])
def test_the_check_goes_through_every_step(small_flightline, architecture: str, dense: str) -> None:
    params = params_with(train={"architecture": architecture})
    path = small_flightline(lines=150, samples=140)
    told = list(check(params, SETTINGS, path))
    assert lines_of(iter(told))[:5] == ["flightline", "tiles", "model", "one batch of 16 on cpu", "dense map"]
    assert "150 lines x 140 samples of 3.1 m, band 4" in told[0] and "with a mask" in told[0]
    assert told[1].startswith("tiles: 8 pos, 4 neg, 8 bg")
    assert dense in told[4] and told[-1].startswith("all well")


def test_the_check_makes_a_flightline_of_its_own() -> None:
    told = list(check(params_with(emission={"plumes_per_flightline": 6.0}), SETTINGS, None))
    assert "(simulated)" in told[0] and told[-1].endswith("dvc repro plume-scenes")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"samples": 20, "lines": 20}, "gives no tile of 64 pixels that is at least half valid"),
        ({"missing": True}, "nothing.img"),
    ],
)
def test_the_check_ends_at_the_first_fault(small_flightline, change: dict, told: str) -> None:
    missing = change.pop("missing", False)
    path = small_flightline(**change)
    with pytest.raises(EarthSignalsError, match=told):
        list(check(params_with(), SETTINGS, path.with_name("nothing.img") if missing else path))


def test_the_check_refuses_a_simulation_without_plumes() -> None:
    params = params_with(emission={"plumes_per_flightline": 0.0}, scenes={"days": 3})
    with pytest.raises(EarthSignalsError, match=r"none of 12 simulated.*plumes_per_flightline"):
        list(check(params, SETTINGS, None))
