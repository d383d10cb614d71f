"""Weights from a user's file: by torchvision's names, never another width, never code."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from earthsignals.clouds.model import build, options_of
from earthsignals.clouds.networks.resnet import EmbeddingNetwork
from earthsignals.clouds.networks.safetensors import read_safetensors
from earthsignals.clouds.networks.weights import load_trunk
from earthsignals.clouds.params import NetworkParams
from earthsignals.storage import EarthSignalsError

WIDTH = 4


def network(width: int = WIDTH, architecture: str = "resnet18", seed: int = 0) -> EmbeddingNetwork:
    torch.manual_seed(seed)
    return EmbeddingNetwork(architecture, width, "zero", embedding=4, hidden=8)


def published(width: int = WIDTH, architecture: str = "resnet18") -> dict[str, torch.Tensor]:
    """As torchvision would save it: a classifier and no head."""
    state = network(width, architecture, seed=5).state_dict()
    kept = {name: value for name, value in state.items() if not name.startswith("head.")}
    return kept | {"fc.weight": torch.ones(10, 8 * width), "fc.bias": torch.ones(10)}


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """By the format's description, with numpy."""
    names = {"float32": "F32", "int64": "I64", "float16": "F16", "float64": "F64"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        array = value.numpy()
        header[name] = {
            "dtype": names[str(array.dtype)], "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }  # fmt: skip
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture(params=["weights.pt", "wrapped.pt", "weights.safetensors"])
def path(request, tmp_path) -> Path:
    path, state = tmp_path / request.param, published()
    if path.suffix == ".safetensors":
        return write_safetensors(path, state)
    torch.save({"state_dict": state, "epoch": 3} if path.stem == "wrapped" else state, path)
    return path


def test_everything_but_the_classifier_is_taken_by_name(path):
    one, expected = network(), published()
    head = {name: value.clone() for name, value in one.head.state_dict().items()}
    assert load_trunk(one, path) == []
    for name, value in one.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(value, expected[name]), name
    assert all(torch.equal(value, head[name]) for name, value in one.head.state_dict().items())


def test_parameters_name_the_file(path):
    params = NetworkParams(architecture="resnet18", width=WIDTH, padding="zero", initial_weights=str(path))
    one = build(params)
    assert torch.equal(one.conv1.weight, published()["conv1.weight"])
    assert options_of(one) == params.model_dump(exclude={"initial_weights"})


def test_a_trunk_alone_will_do_and_what_is_missing_is_told(tmp_path, capsys):
    state = {name: value for name, value in published().items() if not name.startswith(("layer4", "fc"))}
    torch.save(state, tmp_path / "trunk.pt")
    missing = load_trunk(network(), tmp_path / "trunk.pt")
    assert missing and all(name.startswith("layer4.") for name in missing)
    path = str(tmp_path / "trunk.pt")
    build(NetworkParams(architecture="resnet18", width=WIDTH, padding="zero", initial_weights=path))
    assert f"lacks {len(missing)} of the network's weights (layer4.0" in capsys.readouterr().err


def test_weights_of_another_width_are_a_sentence_with_both(tmp_path):
    torch.save(published(2 * WIDTH), tmp_path / "wide.pt")
    one = network()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    message = "wide.pt holds a network of width 8, and clouds.network.width is 4: set that to 8, or"
    with pytest.raises(EarthSignalsError, match=message):
        load_trunk(one, tmp_path / "wide.pt")
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("fault, message", [
    ("architecture", "holds weights that a resnet18 has no place for"),
    ("shape", r"conv2.weight has the shape \(4, 4, 1, 1\), expected \(4, 4, 3, 3\)"),
    ("nan", "layer1.0.conv1.weight are not all finite"),
    ("names", "holds no weights under torchvision's names"),
    ("numbers", "holds something else than tensors by name"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_a_sentence(tmp_path, fault, message):
    state = published(architecture="resnet34" if fault == "architecture" else "resnet18")
    if fault == "shape":
        state["layer1.0.conv2.weight"] = state["layer1.0.conv2.weight"][..., :1, :1].clone()
    elif fault == "nan":
        state["layer1.0.conv1.weight"][0] = torch.nan
    elif fault == "names":
        state = {f"backbone.{name}": value for name, value in state.items()}
    elif fault == "numbers":
        state["note"] = "text"
    torch.save(state, tmp_path / "odd.pt")
    one = network()
    before = one.layer1[0].conv1.weight.clone()
    with pytest.raises(EarthSignalsError, match=message):
        load_trunk(one, tmp_path / "odd.pt")
    assert torch.equal(one.layer1[0].conv1.weight, before)


class Code:
    """Runs when unpickled: leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("form", ["bare pickle", "in torch's archive", "old torch format", "as .safetensors"])
def test_a_pickle_with_code_posing_as_weights_never_runs(tmp_path, form):
    marker, path = tmp_path / "marker", tmp_path / "weights.pt"
    state = published() | {"conv1.weight": Code(marker)}
    if form == "in torch's archive":
        torch.save(state, path)
    elif form == "old torch format":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        path = path.with_suffix(".safetensors") if form == "as .safetensors" else path
        path.write_bytes(pickle.dumps({"conv1.weight": Code(marker)}))
    with pytest.raises(EarthSignalsError, match="never loaded|cannot be read as .safetensors"):
        load_trunk(network(), path)
    assert not marker.exists()
    pickle.load(io.BytesIO(pickle.dumps(Code(marker)))).close()
    assert marker.exists()  # so the test would have seen it


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_and_missing_files_are_a_sentence(tmp_path, name, share):
    path = tmp_path / name
    with pytest.raises(EarthSignalsError, match="does not exist: set clouds.network.initial_weights"):
        load_trunk(network(), path)
    if path.suffix == ".pt":
        torch.save(published(), path)
    else:
        write_safetensors(path, published())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(EarthSignalsError, match=r"truncated, damaged or a pickle|cannot be read as"):
        load_trunk(network(), path)


def test_flipped_bits_in_an_archive_are_noticed(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(published(), path)
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2 + 200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(EarthSignalsError, match="damaged"):
        load_trunk(network(), path)


def test_safetensors_of_all_types_and_shapes(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "half": torch.from_numpy(rng.normal(size=(3, 2)).astype(np.float16)),
        "double": torch.from_numpy(rng.normal(size=5)),
        "count": torch.tensor(7),
        "empty": torch.empty(0, 4),
    }
    found = read_safetensors(write_safetensors(tmp_path / "a.safetensors", tensors))
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype


@pytest.mark.parametrize("change", [
    {"data_offsets": [0, 10**9]}, {"data_offsets": [-16, 0]}, {"shape": [-1, -4]}, {"shape": [5]},
    {"dtype": "F12"}, {"data_offsets": "ab"},
])  # fmt: skip
def test_a_header_that_lies_is_a_sentence(tmp_path, change):
    header = {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | change}
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(EarthSignalsError, match="cannot be read as .safetensors"):
        read_safetensors(tmp_path / "a.safetensors")
