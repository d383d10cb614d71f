"""A model's file brings back the network and its grid; embeddings do not depend on the batch."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from earthsignals.clouds.checkpoint import KIND, load_model, save_model
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.model import build, options_of
from earthsignals.clouds.params import CloudsParams, GridParams, NetworkParams
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.training import load_checkpoint, save_checkpoint

GRID = GridParams(tile_km=150.0, tile_px=64)
PARAMS = NetworkParams(
    architecture="resnet18", width=4, padding="zero", anti_aliased=True, embedding=6, hidden=8,
    scattering=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = build(PARAMS)
    network(torch.rand(8, 3, 64, 64))  # statistics of batch normalisation that are not the initial ones
    return network


@pytest.fixture
def path(network, tmp_path):
    save_model(tmp_path / "best_model.pt", network, GRID, params=CloudsParams().model_dump(mode="json"))
    return tmp_path / "best_model.pt"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 3, 64, 64), dtype=np.uint8)


def test_a_model_comes_back_as_it_was(network, path, images):
    model = load_model(path)
    assert model.grid == GRID and model.grid.pixel_km == 150 / 64
    assert model.options == options_of(network) == PARAMS.model_dump(exclude={"initial_weights"})
    assert (model.name, model.path, model.md5) == ("best_model", path, md5_file(path))
    assert CloudsParams.model_validate_json(json.dumps(model.params)) == CloudsParams()
    assert not model.network.training and not any(p.requires_grad for p in model.network.parameters())
    assert np.array_equal(embed_tiles(model, images), embed_tiles(network, images))


def test_the_same_model_is_the_same_bytes(network, path, tmp_path):
    again = tmp_path / "again" / "best_model.pt"
    again.parent.mkdir()
    save_model(again, network, GRID, params=CloudsParams().model_dump(mode="json"))
    assert again.read_bytes() == path.read_bytes()


def test_embeddings_are_the_networks_of_any_batch_and_leave_its_mode(network, images):
    network.train()
    whole = embed_tiles(network, images)
    assert network.training and whole.shape == (11, 6) and whole.dtype == np.float32
    few = embed_tiles(network, images, batch=1)  # four tiles of 64 pixels for one of 128
    assert np.allclose(few, whole, atol=1e-5 * np.abs(whole).max())
    network.eval()
    with torch.no_grad():
        direct = network(torch.from_numpy(images).float() / 255).numpy()
    assert np.allclose(direct, whole, atol=1e-5 * np.abs(whole).max())
    assert embed_tiles(network, images[:0]).shape == (0, 6)
    for wrong in (images / 255, images[:, :1], images[0]):
        with pytest.raises(ValueError, match=r"expected \(N, 3, P, P\) uint8"):
            embed_tiles(network, wrong)


def test_a_file_that_is_no_model_is_a_sentence(path, tmp_path, network):
    with pytest.raises(EarthSignalsError, match="does not exist"):
        load_model(tmp_path / "none.pt")
    save_checkpoint(tmp_path / "plume.pt", "plume", network.state_dict(), {})
    with pytest.raises(EarthSignalsError, match="kind 'plume', expected 'clouds'"):
        load_model(tmp_path / "plume.pt")
    for share in (0, 0.3, 0.95):
        content = path.read_bytes()
        (tmp_path / "cut.pt").write_bytes(content[: int(share * len(content))])
        with pytest.raises(EarthSignalsError, match="truncated|damaged"):
            load_model(tmp_path / "cut.pt")


def test_a_model_that_does_not_fit_its_options_is_a_sentence(path, tmp_path):
    content = load_checkpoint(path, KIND)
    state = content.pop("state_dict")
    rest = {key: value for key, value in content.items() if key not in ("format_version", "kind")}
    for change in (
        {"options": rest["options"] | {"width": 8}}, {"options": rest["options"] | {"colour": 1}},
        {"options": rest["options"] | {"architecture": "vgg"}}, {"grid": {"tile_km": -1.0}},
    ):  # fmt: skip
        save_checkpoint(tmp_path / "odd.pt", KIND, state, rest | change)
        with pytest.raises(EarthSignalsError, match="does not hold a clouds model as this version builds it"):
            load_model(tmp_path / "odd.pt")
    save_checkpoint(tmp_path / "odd.pt", KIND, state, {key: rest[key] for key in ("options", "params")})
    with pytest.raises(EarthSignalsError, match="'grid'"):
        load_model(tmp_path / "odd.pt")
    state["conv1.weight"][0, 0, 0, 0] = torch.inf
    save_checkpoint(tmp_path / "odd.pt", KIND, state, rest)
    with pytest.raises(EarthSignalsError, match="conv1.weight are not all finite"):
        load_model(tmp_path / "odd.pt")


class Code:
    """Runs when unpickled: leaves a file."""

    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("archive", [False, True])
def test_a_pickle_with_code_posing_as_a_model_never_runs(tmp_path, archive):
    marker, path = tmp_path / "marker", tmp_path / "best_model.pt"
    content = {"format_version": 1, "kind": KIND, "state_dict": Code(marker)}
    torch.save(content, path) if archive else path.write_bytes(pickle.dumps(content))
    with pytest.raises(EarthSignalsError, match="never loaded"):
        load_model(path)
    assert not marker.exists()
