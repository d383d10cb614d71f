"""A saliency model's file: all of it comes back, and what is none is named in a sentence."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from earthsignals.plume.checkpoint import KIND, load_model, save_model
from earthsignals.plume.model import build
from earthsignals.plume.preprocess import NAMED, Preprocessing
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.training import load_checkpoint, save_checkpoint
from earthsignals.training.checkpoint import write_tensors

OWN = Preprocessing(mean=12.0, std=34.0, band="CH4")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "best_model.pt"
    torch.manual_seed(5)
    save_model(path, build("plumenet", 64), OWN, temperature=1.7, threshold=0.42, params={"seed": 3})
    return path


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    torch.manual_seed(6)
    return build("googlenet", 256).eval()


def altered(path: Path, **changes: object) -> Path:
    """The checkpoint with some of its entries changed (None: taken out)."""
    content = load_checkpoint(path, KIND) | changes
    payload = {
        key: value
        for key, value in content.items()
        if key not in ("format_version", "kind", "state_dict") and value is not None
    }
    save_checkpoint(path, KIND, content["state_dict"], payload)
    return path


def test_everything_a_map_needs_comes_back(saved: Path) -> None:
    model = load_model(saved)
    assert (model.architecture, model.window, model.preprocessing) == ("plumenet", 64, OWN)
    assert (model.temperature, model.threshold) == (1.7, 0.42)
    assert (model.name, model.path, model.md5) == ("best_model", saved, md5_file(saved))
    torch.manual_seed(5)
    same, windows = build("plumenet", 64).eval(), torch.randn(3, 1, 64, 64)
    assert not model.network.training
    assert torch.equal(model.network(windows), same(windows))
    assert load_checkpoint(saved, KIND)["params"] == {"seed": 3}


def test_the_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "best_model.pt"
    torch.manual_seed(5)
    save_model(again, build("plumenet", 64), OWN, temperature=1.7, threshold=0.42, params={"seed": 3})
    assert md5_file(again) == md5_file(saved)


def test_probability_is_the_sigmoid_of_the_cooled_logit(saved: Path) -> None:
    """p = 1 / (1 + exp(−z / T)), and exactly 0 and 1 at the far ends instead of a warning."""
    logits = np.array([-1e30, -3.4, 0.0, 1.7, 1e30], np.float32)
    found = load_model(saved).probability(logits)
    np.testing.assert_allclose(found, [0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-1)), 1], rtol=1e-6)
    assert found.dtype == np.float32


# ------------------------------------------------------------------------------- what is no such file
@pytest.mark.parametrize("changes", [{"architecture": "unet"}, {"window": 256}])
def test_another_architectures_weights_are_refused(saved: Path, changes: dict[str, object]) -> None:
    with pytest.raises(EarthSignalsError, match="does not hold the .* network of window"):
        load_model(altered(saved, **changes))


def test_an_unknown_architecture_names_the_known_ones(saved: Path) -> None:
    with pytest.raises(EarthSignalsError, match="no architecture `resnet`.*plumenet.*googlenet-valid"):
        load_model(altered(saved, architecture="resnet"))


@pytest.mark.parametrize("missing", ["window", "preprocessing", "temperature", "threshold"])
def test_a_checkpoint_without_a_part_is_refused(saved: Path, missing: str) -> None:
    with pytest.raises(EarthSignalsError, match=f"does not hold .*{missing}"):
        load_model(altered(saved, **{missing: None}))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(saved: Path, temperature: float) -> None:
    with pytest.raises(EarthSignalsError, match="its temperature is"):
        load_model(altered(saved, temperature=temperature))


def test_weights_of_a_diverged_training_are_refused(tmp_path: Path) -> None:
    network = build("plumenet", 64)
    network.linear.weight.data[0, 3] = torch.nan
    save_model(tmp_path / "model.pt", network, OWN)
    with pytest.raises(EarthSignalsError, match=r"`linear\.weight` holds NaN"):
        load_model(tmp_path / "model.pt")


def test_another_rooms_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.pt", "tdlas", {"w": torch.ones(1)}, {})
    with pytest.raises(EarthSignalsError, match=r"kind 'tdlas', expected 'plume'.*data/plume"):
        load_model(tmp_path / "m.pt")


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_posing_as_a_model_is_never_run(tmp_path: Path) -> None:
    trap, bare, zipped = tmp_path / "sprung", tmp_path / "bare.pt", tmp_path / "zipped.pt"
    bare.write_bytes(pickle.dumps({"state_dict": _Trap(trap)}))
    with pytest.raises(EarthSignalsError, match="a pickle, which is never loaded"):
        load_model(bare)
    torch.save({"state_dict": _Trap(trap)}, zipped)
    with pytest.raises(EarthSignalsError, match="objects other than tensors"):
        load_model(zipped)
    assert not trap.exists()


def test_a_truncated_model_is_named(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-200])
    with pytest.raises(EarthSignalsError, match=r"best_model\.pt .*(truncated|damaged)"):
        load_model(saved)


def test_a_missing_model_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match=r"nothing\.pt does not exist: run the train stage"):
        load_model(tmp_path / "nothing.pt")


# ------------------------------------------------------------------------------- srcfinder's weights
def test_absent_public_names_say_where_the_weights_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("COVID_QC", "CalCH4_v8", "Permian_QC"):
        with pytest.raises(EarthSignalsError, match=rf"not public.*data/plume/weights/{name}\.pt"):
            load_model(name)


def test_weights_put_there_are_found_with_their_own_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, googlenet: nn.Module
) -> None:
    """From a folder below the project's root too, as its data are the project's."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    path = tmp_path / "data/plume/weights/Permian_QC.pt"
    # As DataParallel saves them.
    write_tensors(path, {f"module.{name}": value for name, value in googlenet.state_dict().items()})
    model = load_model("Permian_QC")
    assert (model.architecture, model.window, model.name) == ("googlenet", 256, "Permian_QC")
    assert model.preprocessing == NAMED["Permian_QC"]
    assert (model.path, model.md5, model.temperature) == (path, md5_file(path), 1.0)
    windows = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model.network(windows), googlenet(windows), rtol=1e-6, atol=1e-6)


def test_bare_weights_need_a_campaign(tmp_path: Path, googlenet: nn.Module) -> None:
    """By the file's name or by choice: mean and deviation are never guessed."""
    path = tmp_path / "mine.pt"
    write_tensors(path, googlenet.state_dict())
    with pytest.raises(EarthSignalsError, match="tells no campaign.*--preprocessing"):
        load_model(path)
    with pytest.raises(EarthSignalsError, match="cannot be read with `nonsense`.*COVID_QC"):
        load_model(path, "nonsense")
    assert load_model(path, "CalCH4_v8").preprocessing == NAMED["CalCH4_v8"]
    named = path.rename(tmp_path / "COVID_QC_epoch90.pt")
    assert load_model(named).preprocessing == NAMED["COVID_QC"]


def test_bare_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "COVID_QC.pt", build("plumenet", 64).state_dict())
    with pytest.raises(EarthSignalsError, match=r"COVID_QC\.pt is no srcfinder GoogLeNet"):
        load_model(tmp_path / "COVID_QC.pt")


def test_a_model_of_our_own_keeps_its_preprocessing(saved: Path) -> None:
    with pytest.raises(EarthSignalsError, match="carries its own preprocessing"):
        load_model(saved, "COVID_QC")
